import { connect } from 'amqplib';

/**
 * The floor of the events benchmark: bare amqplib. Consumes with a prefetch, publishes an outcome with confirm, acks
 * after the confirm. No model, no store, no check.
 */
const [url, exchange, queue, prefetch] = process.argv.slice(2) as [string, string, string, string];
const consuming = await connect(url);
const publishing = await connect(url);
const inbox = await consuming.createChannel();
const outbox = await publishing.createConfirmChannel();
await inbox.prefetch(Number(prefetch));
await inbox.consume(queue, (message) => {
  if (message === null) return;
  const { data } = JSON.parse(message.content.toString()) as { data: { task_id: string } };
  const event = {
    specversion: '1.0',
    type: 'dats.task.output.created',
    source: '/floor',
    id: `outcome-${data.task_id}`,
    data: { task_id: data.task_id, status: 'completed', output: { content: 'x'.repeat(120) } },
  };
  outbox.publish(
    exchange,
    'task.output.created',
    Buffer.from(JSON.stringify(event)),
    { persistent: true, mandatory: true, messageId: event.id, contentType: 'application/cloudevents+json' },
    (error) => {
      if (error === null) inbox.ack(message);
    },
  );
});
console.log(JSON.stringify({ event: 'listening', port: 0 }));
process.once('SIGTERM', () => process.exit(0));
