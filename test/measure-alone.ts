/** Loaded ahead of a test that is measured: neither its threads nor the processes that it starts are, which would double their time. */
delete process.env.NODE_V8_COVERAGE;
