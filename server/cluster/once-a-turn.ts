/** A function that has `run` called once at the end of the turn of the event loop, however often it is called in it. */
export function onceATurn(run: () => void): () => void {
  let isScheduled = false;
  return () => {
    if (isScheduled) return;
    isScheduled = true;
    setImmediate(() => {
      isScheduled = false;
      run();
    });
  };
}
