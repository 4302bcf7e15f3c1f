import type { Dispatcher } from 'undici';

/** Whether something answers a GET at an address. Any HTTP answer counts. */
export async function answers(
  dispatcher: Dispatcher,
  options: Omit<Dispatcher.RequestOptions, 'method'>,
): Promise<boolean> {
  try {
    const { body } = await dispatcher.request({ ...options, method: 'GET' });
    await body.dump();
    return true;
  } catch {
    return false;
  }
}
