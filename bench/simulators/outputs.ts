/**
 * What a good model answers, by domain: data, to be edited when the service's output format changes. The
 * answer on the wire is this object as JSON text.
 */
export const outputs = {
  'code-general': completed('code', 'python', 'fibonacci.py', {
    content: `def fibonacci(n: int) -> int:
    """Return the n-th Fibonacci number, counting from fibonacci(0) == 0.

    Raises:
        ValueError: if n is negative.
    """
    if n < 0:
        raise ValueError("n must not be negative")
    current, following = 0, 1
    for _ in range(n):
        current, following = following, current + following
    return current


if __name__ == "__main__":
    print([fibonacci(n) for n in range(10)])
`,
    summary: 'An iterative Fibonacci function: linear time, constant memory, exact for any n.',
    assumptions: ['The sequence starts with fibonacci(0) == 0.'],
    language: 'python',
    tests: `import pytest

from fibonacci import fibonacci


@pytest.mark.parametrize(("n", "expected"), [(0, 0), (1, 1), (2, 1), (10, 55), (90, 2880067194370816120)])
def test_known_values(n, expected):
    assert fibonacci(n) == expected


def test_a_negative_index_is_refused():
    with pytest.raises(ValueError):
        fibonacci(-1)
`,
  }),

  'code-vision': completed('code', 'python', 'capture.py', {
    content: `import time

import cv2


def capture(device: int = 0, frames: int = 300) -> float:
    """Read frames from a camera, show their edges, and return the measured frames per second."""
    camera = cv2.VideoCapture(device)
    if not camera.isOpened():
        raise RuntimeError(f"camera {device} cannot be opened")
    camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    started = time.monotonic()
    seen = 0
    try:
        while seen < frames:
            ok, frame = camera.read()
            if not ok:
                break
            seen += 1
            grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
            cv2.imshow("edges", cv2.Canny(cv2.GaussianBlur(grey, (5, 5), 0), 80, 160))
            if cv2.waitKey(1) == 27:
                break
    finally:
        camera.release()
        cv2.destroyAllWindows()
    return seen / max(time.monotonic() - started, 1e-9)
`,
    summary: 'Shows the edges of a live camera and measures its frame rate.',
    assumptions: ['A window can be shown on this machine.'],
    color_space: { input: 'BGR', working: 'GRAY', output: 'GRAY' },
    dtype: 'uint8, 0 to 255',
    frame_rate_fps: 30,
    latency_budget_ms: 33,
    capture_failures: [
      { failure: 'the camera cannot be opened', handling: 'RuntimeError that names the device' },
      { failure: 'a read fails, e.g. the camera is unplugged', handling: 'the loop ends, all is released' },
    ],
    dependencies: ['opencv-python>=4.9'],
  }),

  'code-embedded': completed('code', 'c', 'debounce.c', {
    content: `#include <stdbool.h>
#include <stdint.h>

#define DEBOUNCE_TICKS 5u /* at 1 ms a tick: 5 ms */

typedef struct {
    bool stable;
    uint8_t ticks;
} debounce_t;

/* Call once a tick with the raw level of the pin; returns true on the tick of a press. */
bool debounce_update(debounce_t *button, bool raw)
{
    if (raw == button->stable) {
        button->ticks = 0u;
        return false;
    }
    button->ticks++;
    if (button->ticks < DEBOUNCE_TICKS) {
        return false;
    }
    button->ticks = 0u;
    button->stable = raw;
    return raw;
}
`,
    summary: 'Debounces one button without timers of its own: a few comparisons a tick, no waiting.',
    assumptions: [
      'debounce_update is called every millisecond from one context.',
      'A pressed button reads true.',
    ],
    target: 'any microcontroller with a C99 compiler, no RTOS',
    memory: { flash_bytes: 64, ram_bytes: 2, stack_bytes: 16 },
    timing: [{ name: 'debounce_update', deadline_us: 10, period_us: 1000 }],
    interrupts: [{ name: 'tick timer, 1 ms', does: 'Sets a flag; the main loop calls debounce_update.' }],
    shared_state: [{ name: 'debounce_t', protection: 'used by the main loop only' }],
  }),

  documentation: completed('document', 'markdown', 'getting-started.md', {
    content: `# Getting started

This page is for developers who call the service for the first time. It takes about five minutes.

## Before you begin

You need an access token and \`curl\`.

## Send the first request

\`\`\`bash
curl -H "Authorization: Bearer $TOKEN" https://service.example/api/v1/health
\`\`\`

The answer is \`{"status": "healthy"}\`.

## When it does not work

| You see | Why | What to do |
|---|---|---|
| 401 | The token is missing or has run out | Ask for a new one |
| 429 | Too many requests at once | Wait for the time in \`Retry-After\` |
`,
    summary: 'A first request in five minutes, and what to do when it fails.',
    title: 'Getting started',
    audience: 'Developers who call the service for the first time and know curl',
    document_type: 'tutorial',
    sections: [
      { heading: 'Getting started', level: 1 },
      { heading: 'Before you begin', level: 2 },
      { heading: 'Send the first request', level: 2 },
      { heading: 'When it does not work', level: 2 },
    ],
  }),

  'ui-design': completed('code', 'tsx', 'SaveButton.tsx', {
    content: `interface SaveButtonProps {
  saving: boolean;
  onSave: () => void;
}

/** The button stays focusable while it saves, so that keyboard users do not lose their place. */
export function SaveButton({ saving, onSave }: SaveButtonProps) {
  return (
    <div className="save">
      <button type="button" aria-disabled={saving} onClick={saving ? undefined : onSave}>
        {saving ? 'Saving…' : 'Save'}
      </button>
      <p role="status" aria-live="polite">
        {saving ? 'Your changes are being saved.' : ''}
      </p>
    </div>
  );
}
`,
    summary: 'A save button that tells what it does, to the eye and to screen readers.',
    framework: 'react',
    components: [
      {
        name: 'SaveButton',
        purpose: 'Saves, and says that it is saving.',
        props: ['saving: boolean', 'onSave: () => void'],
        states: ['idle', 'saving'],
      },
    ],
    accessibility: [
      { criterion: '2.1.1', how: 'A native button: Enter and Space work.' },
      { criterion: '2.4.3', how: 'Focus stays on the button while it saves.' },
      { criterion: '4.1.3', how: 'A polite live region announces the saving.' },
    ],
    breakpoints: [
      { name: 'all', min_width_px: 0, layout: 'The button wraps with its text; nothing is fixed.' },
    ],
    design_tokens: [{ name: 'target-size-min', value: '24px' }],
  }),
} satisfies Readonly<Record<string, Output>>;

export type Domain = keyof typeof outputs;

/** All that the simulator can play. */
export const domains = Object.keys(outputs) as readonly Domain[];

export interface Output {
  readonly status: string;
  readonly content: string;
  readonly [field: string]: unknown;
}

/** One file is the whole result, so its text stands in `content` only. */
function completed(
  type: string,
  language: string,
  path: string,
  { content, ...fields }: { readonly content: string; readonly [field: string]: unknown },
): Output {
  return { status: 'completed', content, artifacts: [{ type, language, path }], ...fields };
}
