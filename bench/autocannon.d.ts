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
    readonly non2xx: number;
    readonly errors: number;
  }
  interface Instance extends Promise<Result> {
    on(
      event: 'response',
      listener: (client: object, status: number, bytes: number, milliseconds: number) => void,
    ): this;
    /** Ends the run at its next tick. */
    stop(): void;
  }
  export default function autocannon(options: Options): Instance;
}
