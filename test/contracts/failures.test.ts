import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { answeringCodes, type FailureCode, failures } from '../../contracts/failures.js';

/** Clients and operators rely on these: a code keeps its meaning for as long as there are releases. */
const meanings: Readonly<Record<string, readonly [status: number, retryable: boolean, isOutcome: boolean]>> =
  {
    invalid_request: [400, false, false],
    unauthorized: [401, false, false],
    forbidden: [403, false, false],
    not_found: [404, false, false],
    method_not_allowed: [405, false, false],
    request_timeout: [408, true, false],
    task_conflict: [409, false, false],
    cancelled: [409, false, true],
    payload_too_large: [413, false, false],
    unsupported_media_type: [415, false, false],
    unknown_domain: [422, false, false],
    unknown_tier: [422, false, false],
    refused: [422, false, true],
    needs_clarification: [422, false, true],
    tier_saturated: [429, true, false],
    caller_limited: [429, true, false],
    internal_error: [500, true, false],
    output_invalid: [502, false, true],
    gateway_error: [502, true, false],
    gateway_unavailable: [503, true, false],
    broker_unavailable: [503, true, false],
    shutting_down: [503, true, false],
    store_unavailable: [503, true, false],
    deadline_exceeded: [504, true, false],
  };

test('each code has its status, may be tried again or not, and makes a dead letter of its message or not', () => {
  const found = Object.entries(failures).map(([code, { status, retryable }]) => [
    code,
    [status, retryable, answeringCodes.has(code as FailureCode)],
  ]);
  assert.equal(Object.fromEntries(found), meanings);
});

test.run();
