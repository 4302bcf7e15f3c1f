/**
 * What records and receipts have in common, for LZ4 to point at: they take a quarter of the room with it (bench: soak). Part of
 * the format: with another dictionary no record can be read, so a change of it raises `formatVersion`. What is most
 * frequent comes last, where LZ4 keeps it in any case.
 */
export const dictionary = Buffer.from(
  [
    '"code":"output_invalid","detail":"the output does not match the schema of the domain: ',
    '"code":"refused","detail":"","retryable":false,"reason":"out_of_scope","recommendation":"needs_larger_model"',
    '"code":"cancelled","detail":"the task was cancelled"',
    '"code":"deadline_exceeded","detail":"the task did not end within its time","retryable":true}}',
    '"code":"gateway_error","detail":"the gateway answered 500","retryable":true}}',
    '"kind":"repair","kind":"escalation","kind":"fallback","ended":"broken","ended":"aborted","ended":"not_called",',
    '"kind":"retry","started_at":"2026-11-26T07:24:53.759Z","duration_ms":1.137,"tokens":{"prompt":0,"completion":0,',
    '"counted_by":"tokenizer","method":"exact"},"max_output_tokens":9830,"ended":"unreachable","error":"',
    'the gateway did not answer: ECONNREFUSED"},{"number":2,"tier":"',
    '"tokens_used":0,"notes":[],"outcome":{"status":"failed","code":"gateway_unavailable"}}',
    '"status":"failed","code":"gateway_unavailable","detail":"the gateway did not answer: ","retryable":true}}\n',
    '"origin":{"correlationId":"","traceparent":"00-","tracestate":"","replay":1},',
    '"context":{"status":"degraded","tokens":0,"context":{"status":"none","method":"approximate"}',
    '"domain":"code-vision","tier":"frontier","model":"anthropic/claude-sonnet-4.5","endpoint":"openrouter",',
    '"domain":"code-embedded","tier":"coding","model":"qwen3-coder:30b","endpoint":"ollama_gpu_coding",',
    '"domain":"ui-design","tier":"large","model":"openai/gpt-oss-20b","endpoint":"vllm_gpu",',
    '"domain":"documentation","tier":"tiny","model":"gemma3:4b","endpoint":"ollama_gpu_general",',
    '"template":{"name":"workers/code_vision.md","name":"workers/code_embedded.md","name":"workers/documentation.md",',
    '"name":"workers/ui_design.md","sha256":"',
    '"context":"retrieved","context_tokens":489,"sources":[{"artifact_id":"art-","relevance_score":0.333,"tokens":105},',
    '"context":{"status":"retrieved","tokens":489,"sources_used":[{"artifact_id":"art-","relevance_score":0.166,',
    '{"taskId":"task-","requestHash":"","final":false,"final":true,"domain":"code-general","finishedAt":1795677',
    ',"outcome":{"task_id":"task-","tokens_used":1104,"execution_time_ms":6.688,"timings":{"wait":0.022,',
    '"context":0.005,"assemble":1.922,"first_token":1.369,"stream":0.105,"validate":3.058,"other":0.208},',
    '"overhead_ms":5.188,"domain":"code-general","tier":"small","attempts":1,"context":"provided",',
    '"context_tokens":5,"sources":[],"model":"gemma3:12b","tokens":{"prompt":1046,"completion":48,',
    '"counted_by":"gateway","method":"exact"},"artifact_id":"art-","status":"completed","finish_reason":"stop"}}\n',
    '{"task_id":"task-","request_hash":"","accepted_at":"2026-11-26T07:20:14.910Z","finished_at":"2026-11-26T',
    '"template":{"name":"workers/code_general.md","sha256":"","context":{"status":"provided","tokens":5,',
    '"sources_used":[],"sources_dropped":[]},"attempts":[{"number":1,"tier":"small","model":"gemma3:12b",',
    '"endpoint":"ollama_gpu_general","kind":"first","started_at":"2026-11-26T07:20:14.912Z","headers_ms":1.292,',
    '"first_token_ms":1.369,"duration_ms":4.6,"tokens":{"prompt":1046,"completion":48,"counted_by":"gateway",',
    '"method":"exact"},"max_output_tokens":9830,"finish_reason":"stop","ended":"finished"}],"tokens_used":1094,',
    '"notes":[],"outcome":{"status":"completed"}}',
  ].join(''),
);
