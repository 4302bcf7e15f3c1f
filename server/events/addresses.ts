import type { Config } from '../../config/schema.js';

/** Where one broker of a list is, and who calls. */
export interface BrokerAddress {
  readonly protocol: 'amqp' | 'amqps';
  readonly hostname: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
  readonly vhost: string;
}

/** Reads `rabbitmq.host`: hosts, `host:port` pairs and amqp(s) URLs, with commas between them. */
export function brokerAddresses(rabbitmq: Config['rabbitmq']): readonly BrokerAddress[] {
  return (rabbitmq.host ?? '').split(',').map((item) => addressOf(item.trim(), rabbitmq));
}

function addressOf(item: string, { port, username, password, virtual_host, tls }: Config['rabbitmq']) {
  const isUrl = /^amqps?:\/\//i.test(item);
  const url = new URL(isUrl ? item : `${tls ? 'amqps' : 'amqp'}://${item}`);
  const protocol = url.protocol === 'amqps:' ? ('amqps' as const) : ('amqp' as const);
  const given = url.port === '' ? undefined : Number(url.port);
  const usual = protocol === 'amqps' ? 5671 : 5672;
  return {
    protocol,
    hostname: url.hostname.replace(/^\[|\]$/g, ''),
    port: given ?? (isUrl || (port === 5672 && protocol === 'amqps') ? usual : port),
    username: url.username === '' ? username : decodeURIComponent(url.username),
    password: url.password === '' ? password : decodeURIComponent(url.password),
    // An empty path means the default, `/` alone the virtual host of that name is not: RabbitMQ's URI rules
    // make it the empty name, which no broker has.
    vhost: url.pathname.length > 1 ? decodeURIComponent(url.pathname.slice(1)) : virtual_host,
  };
}
