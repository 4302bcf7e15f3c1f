import uWS from 'uWebSockets.js';
import { Agent } from 'undici';

/**
 * The floor: a bare relay. uWebSockets.js in, undici stream out, deltas parsed and joined, JSON back. No
 * thread, no store, no check. `node floor.js GATEWAY_URL` prints its port.
 */
const gateway = new URL(process.argv[2]!);
const agent = new Agent({ connections: 256, pipelining: 1 });

uWS
  .App()
  .post('/execute', (res) => {
    let aborted = false;
    let body = '';
    res.onAborted(() => {
      aborted = true;
    });
    res.onData((part, isLast) => {
      body += Buffer.from(part).toString();
      if (!isLast) return;
      const task = JSON.parse(body) as { task_id: string; description: string };
      complete(task.description, (content) => {
        if (aborted) return;
        const answer = JSON.stringify({ task_id: task.task_id, status: 'completed', output: { content } });
        res.cork(() => {
          res.writeHeader('content-type', 'application/json').end(answer);
        });
      });
    });
  })
  .listen('127.0.0.1', 0, (socket) => {
    console.log(JSON.stringify({ event: 'listening', port: uWS.us_socket_local_port(socket) }));
  });

function complete(prompt: string, done: (content: string) => void): void {
  let content = '';
  let rest = '';
  agent.dispatch(
    {
      origin: gateway.origin,
      path: `${gateway.pathname}/chat/completions`,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'gemma3:12b',
        messages: [{ role: 'user', content: prompt }],
        stream: true,
        stream_options: { include_usage: true },
      }),
    },
    {
      onRequestStart: () => {},
      onResponseData: (_, chunk) => {
        const lines = (rest + chunk.toString()).split('\n');
        rest = lines.pop()!;
        for (const line of lines) {
          if (!line.startsWith('data: {')) continue;
          const { choices } = JSON.parse(line.slice(6)) as { choices: { delta: { content?: string } }[] };
          content += choices[0]?.delta.content ?? '';
        }
      },
      onResponseEnd: () => done(content),
      onResponseError: (_, error) => {
        throw error;
      },
    },
  );
}
