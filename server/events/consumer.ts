import { randomUUID } from 'node:crypto';
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { handleCancellation } from './cancellation.js';
import { CancellationFence } from './cancellation-fence.js';
import type { BrokerState } from './connection.js';
import { gatherWrites, openConnection, within } from './connection.js';
import { checkDeadLettering } from './dead-lettering.js';
import { handleDelivery } from './delivery.js';
import type { DeliveryParts } from './delivery-parts.js';
import { giveBack } from './forwarding.js';
import { Moment } from './moment.js';
import { declare, type Topology } from './topology.js';

/** Takes messages from the broker and answers each of them once. */
export interface Consumer {
  state(): BrokerState;
  /** Messages that were delivered and not answered. */
  readonly inHand: number;
  /** Takes no more messages; those in hand go on. */
  stopIntake(): Promise<void>;
  /** Waits up to `ms` for what is in hand, and closes; what is left returns to its queue. */
  close(ms: number): Promise<void>;
}

export interface ConsumerOptions {
  readonly parts: DeliveryParts;
  readonly topology: Topology;
  readonly name: string;
  /** Processes of the node, which share the slots. */
  readonly processes: number;
}

/** What is consumed on a channel of its own. */
interface Intake {
  readonly queue: string;
  readonly prefetch: number;
  readonly handle: (message: ConsumeMessage) => Promise<'ack' | 'requeue'>;
  /** What becomes of a message that is not to be handled here. */
  readonly refuse: (message: ConsumeMessage) => Promise<'ack' | 'requeue'>;
  /** Declares the queue where only this connection has it. */
  readonly prepare?: (channel: Channel) => Promise<unknown>;
  /** Whether it is still taken from while the process stops. @default false */
  readonly untilClosed?: boolean;
}

/** One channel a queue, with as many messages in hand as the process has slots of the tier: the rest waits in the broker. */
export async function openConsumer({ parts, topology, name, processes }: ConsumerOptions): Promise<Consumer> {
  const { config, names, log } = parts;
  const intakes: Intake[] = Object.keys(config.tier_models).flatMap((tier) => [
    {
      queue: names.ready(tier),
      prefetch: Math.ceil(config.queues[tier]!.concurrency / processes),
      handle: (message) => handleDelivery(parts, { tier, suspect: false, message }),
      refuse: (message) => giveBack(parts, { tier, suspect: false, message }),
    },
    {
      queue: names.suspect(tier),
      prefetch: 1,
      handle: (message) => handleDelivery(parts, { tier, suspect: true, message }),
      refuse: (message) => giveBack(parts, { tier, suspect: true, message }),
    },
  ]);
  const fence = new CancellationFence(parts);
  /** Before the tasks: a cancellation that was sent while nobody listened must be noted before its task is met. */
  const cancellationIntakes = (own: string): Intake[] => [
    {
      queue: own,
      prefetch: 100,
      handle: async (message) => {
        if (!fence.passed(message)) await handleCancellation(parts, message);
        // What this process does not get done any more stays in the queue that keeps it.
        return 'ack';
      },
      refuse: async () => 'ack',
      prepare: async (channel) => {
        await channel.assertQueue(own, { exclusive: true, autoDelete: true, durable: false });
        await channel.bindQueue(own, names.exchange, names.routing.cancelled);
      },
      untilClosed: true,
    },
    {
      queue: names.cancelled,
      prefetch: 500,
      handle: (message) => fence.kept(message, (kept) => handleCancellation(parts, kept)),
      refuse: async () => 'requeue',
    },
  ];
  const inHand = new Set<Promise<void>>();
  const moment = new Moment(() => current !== undefined && gatherWrites(current));
  /** The open channels of the present connection. */
  const open = new Map<Channel, { readonly consumerTag: string; readonly intake: Intake }>();
  /** What the broker still delivered before it knew that nothing more is taken. */
  const untaken: { readonly channel: Channel; readonly intake: Intake; readonly message: ConsumeMessage }[] =
    [];
  let current: ChannelModel | undefined;
  let isChecked = false;
  let phase: 'open' | 'draining' | 'closed' = 'open';

  function takesFrom({ untilClosed = false }: Intake): boolean {
    return phase === 'open' || (phase === 'draining' && untilClosed);
  }

  async function openIntake(model: ChannelModel, intake: Intake): Promise<void> {
    const channel = await model.createChannel();
    let stage: 'opening' | 'open' | 'closed' = 'opening';
    channel.on('error', (error) =>
      log.warn({ event: 'consume_channel_error', queue: intake.queue, error: error.message }),
    );
    channel.on('handler-error', (error) =>
      log.error({ event: 'consume_handler_error', queue: intake.queue, error: error.stack }),
    );
    channel.on('close', () => {
      open.delete(channel);
      // While it opens, the one who opens it hears of it: two who open it again would leave two consumers.
      if (stage === 'open') reopenLater(model, intake);
      stage = 'closed';
    });
    try {
      await intake.prepare?.(channel);
      await channel.prefetch(intake.prefetch);
      // The stop of the intake has not seen it, and what it takes would stay here until the last task has ended.
      if (phase !== 'open') {
        await channel.close();
        return;
      }
      const consumerTag = randomUUID();
      open.set(channel, { consumerTag, intake });
      const onMessage = (message: ConsumeMessage | null) => {
        // Null: the broker has cancelled the consumer, because the queue is gone or has moved.
        if (message === null) channel.close().catch(() => {});
        else if (takesFrom(intake)) take(channel, intake, message, intake.handle);
        else untaken.push({ channel, intake, message });
      };
      await channel.consume(intake.queue, onMessage, { consumerTag });
      if (isClosed()) throw new Error('the channel was closed while it was opened');
      stage = 'open';
    } catch (error) {
      open.delete(channel);
      if (!isClosed()) channel.close().catch(() => {});
      throw error;
    }

    function isClosed(): boolean {
      return stage === 'closed';
    }
  }

  /** The queue may have been deleted: it is declared again. */
  function reopenLater(model: ChannelModel, intake: Intake): void {
    const isWanted = () => phase === 'open' && current === model;
    const reopen = async () => {
      if (!isWanted()) return;
      try {
        await declare(model, topology, log);
        await openIntake(model, intake);
        log.info({ event: 'consume_reopened', queue: intake.queue });
      } catch (error) {
        if (isWanted())
          log.warn({ event: 'consume_failed', queue: intake.queue, error: (error as Error).message });
        reopenLater(model, intake);
      }
    };
    if (isWanted()) setTimeout(reopen, REOPEN_MS).unref();
  }

  function take(channel: Channel, intake: Intake, message: ConsumeMessage, handle: Intake['handle']): void {
    const answered = handle(message)
      .catch(async (error: Error) => {
        if (phase === 'open') log.error({ event: 'delivery_error', queue: intake.queue, error: error.stack });
        await new Promise((resolve) => setTimeout(resolve, takesFrom(intake) ? ERROR_PAUSE_MS : 0));
        return 'requeue' as const;
      })
      .then(async (verdict) => {
        await moment.over();
        // A delivery belongs to its channel: on any other one its tag means another message.
        if (!open.has(channel)) return;
        if (verdict === 'ack') channel.ack(message);
        else channel.nack(message, false, true);
      })
      .catch((error: Error) => log.warn({ event: 'answer_lost', queue: intake.queue, error: error.message }));
    inHand.add(answered);
    void answered.then(() => inHand.delete(answered));
  }

  const connection = await openConnection({
    name: `${name} consume`,
    rabbitmq: config.rabbitmq,
    log,
    setup: async (model) => {
      current = model;
      await declare(model, topology, log);
      if (!isChecked) void checkDeadLettering(model, { rabbitmq: config.rabbitmq, name, log });
      isChecked = true;
      if (phase !== 'open') return;
      // A new name each time: the broker may hold the one before for a connection that it has not missed yet.
      const own = names.cancellations(randomUUID());
      for (const intake of cancellationIntakes(own)) await openIntake(model, intake);
      if (phase !== 'open') return;
      if (!(await fence.wait(own)) && current === model && phase === 'open')
        log.warn({ event: 'cancellations_not_noted', queue: names.cancelled });
      for (const intake of intakes) await openIntake(model, intake);
    },
    onLost: () => {
      current = undefined;
      open.clear();
    },
  });
  return {
    state: () => connection.state(),
    get inHand() {
      return inHand.size;
    },
    stopIntake: async () => {
      // It would stay in the queue of cancellations. No task is taken before it is answered.
      if (current !== undefined) await within(FENCE_MS, fence.none());
      phase = 'draining';
      const ending = [...open].filter(([, { intake }]) => intake.untilClosed !== true);
      // A broker that does not answer must not hold up the stop.
      await within(
        CLOSE_MS,
        Promise.all(ending.map(([channel, { consumerTag }]) => channel.cancel(consumerTag).catch(() => {}))),
      );
      // Only now: before, the broker would have delivered them here again.
      for (const { channel, intake, message } of untaken.splice(0))
        if (open.has(channel)) take(channel, intake, message, intake.refuse);
    },
    close: async (ms) => {
      phase = 'draining';
      const late = new Promise((resolve) => setTimeout(resolve, ms).unref());
      await Promise.race([Promise.all(inHand), late]);
      phase = 'closed';
      // The closing of a connection overtakes what waits in its channels: the last acks.
      await within(CLOSE_MS, Promise.all([...open.keys()].map((channel) => channel.close().catch(() => {}))));
      await connection.close();
    },
  };
}

const REOPEN_MS = 200;
const CLOSE_MS = 1000;
const FENCE_MS = 2000;
/** A message that meets a fault of ours comes back, but not in a busy loop. */
const ERROR_PAUSE_MS = 1000;
