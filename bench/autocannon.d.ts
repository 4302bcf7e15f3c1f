/** The part of autocannon 8 that the benchmarks use; the package ships no types. */
declare module 'autocannon' {
  interface Request {
    method: string;
    path: string;
    headers?: Record<string, string>;
    body?: string;
    setupRequest?: (request: Request) => Request;
  }
  interface Options {
    url: string;
    connections: number;
    /** Seconds. */
    duration: number;
    requests: Request[];
  }
  interface Result {
    readonly requests: { readonly total: number; readonly average: number };
    readonly latency: {
      readonly p50: number;
      readonly p95?: number;
      readonly p97_5: number;
      readonly p99: number;
    };
    readonly non2xx: number;
    readonly errors: number;
    readonly '2xx': number;
  }
  export default function autocannon(options: Options): Promise<Result>;
}
