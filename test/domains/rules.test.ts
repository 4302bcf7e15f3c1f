import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { DomainName } from '../../domains/domain.js';
import { domainNames } from '../../domains/registry.js';
import { aDomain, findingsOfAll, findingsOn, messagesOn } from './a-domain.js';

const file = (path: string, content?: string) => ({
  type: 'code',
  language: 'text',
  path,
  ...(content === undefined ? {} : { content }),
});

test('two artifacts with the same path are an error in every domain', () => {
  for (const findings of findingsOfAll({ content: 'x', artifacts: [file('a'), file('b'), file('a')] })) {
    assert.equal(findings, [
      { severity: 'error', path: '/artifacts/2/path', message: 'is the path of artifact 0 too' },
    ]);
  }
});

test('an artifact with empty content is an error in every domain, one without content is not', () => {
  for (const findings of findingsOfAll({ content: 'x', artifacts: [file('a', ' \n'), file('b')] })) {
    assert.equal(findings, [{ severity: 'error', path: '/artifacts/0/content', message: 'is empty' }]);
  }
});

test('content that is nothing but a code fence is an error in every domain', () => {
  for (const content of ['```', '```python\n', '~~~\n~~~', ' ```c a.c\n\n```\n']) {
    for (const findings of findingsOfAll({ content })) {
      assert.is(findings.filter(({ severity }) => severity === 'error').length, 1, JSON.stringify(content));
    }
  }
  for (const findings of findingsOfAll({ content: '```c\nint a;\n```' })) assert.equal(findings, []);
});

test('a note names the line, within fences too', () => {
  const content = 'int a;\n\nvoid f(void) { p = malloc(4); q = malloc(8); }\n';
  assert.equal(findingsOn('code-embedded', 'c', content), [
    { severity: 'note', path: '/content', message: 'line 3 (and 1 more): allocates from the heap' },
  ]);
  const fenced = `\`\`\`c a.c\nint a;\n\`\`\`\n\n\`\`\`c b.c\n\n${content}\`\`\`\n`;
  assert.is(
    aDomain('code-embedded').rules({ content: fenced })[0]?.message,
    'line 9 (and 1 more): allocates from the heap',
  );
});

test('a file that stands in content and among the artifacts is looked at once', () => {
  const content = 'void *p = malloc(1);\n';
  const artifact = { type: 'code', language: 'c', path: 'a.c', content };
  assert.equal(
    aDomain('code-embedded')
      .rules({ content, artifacts: [artifact] })
      .map(({ path }) => path),
    ['/artifacts/0/content'],
  );
});

const conflict = 'a merge conflict is left in';
const elision = 'a comment stands where code was left out';
const promise = 'a comment marks work left to do';
const heap = 'allocates from the heap';
const heapNew = 'new allocates from the heap';
const waits = 'an interrupt handler waits';
const prints = 'an interrupt handler prints';
const unprotected = 'is set by an interrupt handler, and not volatile';
const image = 'the image is used without a check that it was read';
const read = 'the result of read() is not checked';
const skip = 'the heading skips a level';
const openFence = 'the code fence is never closed';
const alt = 'the image has no alt (WCAG 1.1.1)';
const tabindex = 'a positive tabindex breaks the focus order (WCAG 2.4.3)';
const click = 'a click handler on an element without role (WCAG 4.1.2)';

const cases: readonly (readonly [DomainName, string, string, readonly string[]])[] = [
  ['code-general', 'js', 'a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> main\n', [conflict]],
  ['code-general', 'rst', 'Title\n=======\n', []],
  ['code-general', 'cpp', 'x = a <<<<<<< b;\n', []],
  ['code-general', 'js', 'f();\n// ... rest of code\n', [elision]],
  ['code-general', 'python', '    # … existing methods stay the same\n', [elision]],
  ['code-general', 'js', '// rest of the implementation\n', [elision]],
  ['code-general', 'js', 'const { a, ...rest } = b; // the rest goes on\n', []],
  ['code-general', 'python', '# TODO: implement\n', [promise]],
  ['code-general', 'js', '// Your code here\n', [promise]],
  ['code-general', 'python', 'class TodoList:  # a TODO list\n    todo = []\n', []],
  ['ui-design', 'tsx', '// ... existing code ...\n', [elision]],

  ['code-embedded', 'c', '/* no malloc() here */\nputs("malloc(1)"); // malloc(2)\n', []],
  ['code-embedded', 'c', 'p = pool.malloc(1); my_malloc(2); int new = 3;\n', []],
  ['code-embedded', 'cpp', 'auto *p = new Driver(3);\n', [heapNew]],
  ['code-embedded', 'cpp', 'auto *p = std::malloc(3);\n', [heap]],
  ['code-embedded', 'cpp', 'auto *p = new (buffer) Driver(3);\n', []],
  ['code-embedded', 'rust', 'let p = malloc(3);\n', []],
  [
    'code-embedded',
    'arduino',
    'ISR(TIMER1_COMPA_vect) {\n  delay(5);\n}\nvoid loop() { delay(10); }\n',
    [waits],
  ],
  ['code-embedded', 'c', 'void TIM2_IRQHandler(void)\n{\n  if (x) { printf("a"); }\n}\n', [prints]],
  ['code-embedded', 'cpp', 'void IRAM_ATTR onPulse() {\n  Serial.println("x");\n}\n', [prints]],
  ['code-embedded', 'c', 'void TIM2_IRQHandler(void);\nvoid f(void) { HAL_Delay(5); }\n', []],
  [
    'code-embedded',
    'c',
    'static bool ready = false;\nvoid TIM2_IRQHandler(void) { ready = true; }\nint main(void) { while (!ready) {} }\n',
    [unprotected],
  ],
  [
    'code-embedded',
    'c',
    'static volatile bool ready = false;\nvoid TIM2_IRQHandler(void) { ready = true; }\nint main(void) { while (!ready) {} }\n',
    [],
  ],
  [
    'code-embedded',
    'c',
    'static uint8_t count;\nvoid TIM2_IRQHandler(void) { count++; }\nint main(void) { return 0; }\n',
    [],
  ],

  ['code-vision', 'python', 'img = cv2.imread(p)\ng = cv2.Canny(img, 1, 2)\n', [image]],
  ['code-vision', 'python', 'g = cv2.cvtColor(cv2.imread(p), 6)\n', [image]],
  ['code-vision', 'python', 'img = cv2.imread(p)\nif img is None:\n    raise ValueError(p)\n', []],
  ['code-vision', 'python', 'if (img := cv2.imread(p)) is None:\n    raise ValueError(p)\n', []],
  ['code-vision', 'python', 'def load(p):\n    return cv2.imread(p)\n', []],
  ['code-vision', 'python', 'img = io.imread(p)\nshow(img)\n', []],
  ['code-vision', 'cpp', 'cv::Mat img = cv::imread(p);\ncv::Canny(img, e, 1, 2);\n', [image]],
  ['code-vision', 'cpp', 'cv::Mat img = cv::imread(p);\nif (img.empty()) { return 1; }\n', []],
  [
    'code-vision',
    'python',
    'cap = cv2.VideoCapture(0)\n_, frame = cap.read()\ncv2.imshow("a", frame)\n',
    [read],
  ],
  ['code-vision', 'python', 'cap = cv2.VideoCapture(0)\nok, f = cap.read()\nif not ok:\n    stop()\n', []],
  ['code-vision', 'python', 'cap = cv2.VideoCapture(0)\n_, f = cap.read()\nif f is None:\n    stop()\n', []],
  ['code-vision', 'python', 'cap = open(p)\ncap.read()\n', []],
  ['code-vision', 'cpp', 'cv::VideoCapture cap(0);\ncap.read(frame);\nshow(frame);\n', [read]],
  ['code-vision', 'cpp', 'cv::VideoCapture cap(0);\ncap >> frame;\nif (frame.empty()) break;\n', []],
  ['code-vision', 'cpp', 'cv::VideoCapture cap(0);\nwhile (cap.read(frame)) { show(frame); }\n', []],

  ['documentation', 'markdown', '# A\n\n### B\n', [skip]],
  ['documentation', 'markdown', '# A\n\n## B\n\n### C\n\n## D\n', []],
  ['documentation', 'markdown', '# A\n\n```bash\n### not a heading\n```\n\n## B\n', []],
  ['documentation', 'markdown', 'A\n=\n\nB\n---\n\n### C\n', []],
  ['documentation', 'markdown', '---\ntitle: x\n---\n\n# A\n\n## B\n', []],
  ['documentation', 'rst', '# A\n\n### B\n', []],
  ['documentation', 'markdown', '# A\n\n```bash\nls\n', [openFence]],
  ['documentation', 'markdown', '1. Do\n\n   ```bash\n   ls\n   ```\n', []],
  ['documentation', 'markdown', 'Lorem ipsum dolor\n', ['placeholder text is left in']],

  ['ui-design', 'html', '<img src="a.png">\n', [alt]],
  ['ui-design', 'tsx', '<img src={a} onLoad={() => b > 1} alt="" />\n', []],
  ['ui-design', 'tsx', '<img {...props} />\n', []],
  ['ui-design', 'html', '<!-- <img src="a.png"> -->\n', []],
  ['ui-design', 'tsx', '/* <img src="a.png"> */\n', []],
  ['ui-design', 'html', '<p tabindex="2">a</p>\n', [tabindex]],
  ['ui-design', 'tsx', '<p tabIndex={1}>a</p>\n', [tabindex]],
  ['ui-design', 'tsx', '<p tabIndex={1 === at ? 0 : -1}>a</p>\n', []],
  ['ui-design', 'html', '<p tabindex="0">a</p><p tabindex="-1">b</p>\n', []],
  ['ui-design', 'tsx', '<div className="a" onClick={() => open()}>a</div>\n', [click]],
  ['ui-design', 'vue', '<span @click.prevent="open">a</span>\n', [click]],
  ['ui-design', 'tsx', '<div role="button" tabIndex={0} onClick={open}>a</div>\n', []],
  ['ui-design', 'tsx', '<div onClick={(event) => event.stopPropagation()}>a</div>\n', []],
  ['ui-design', 'tsx', '<button onClick={open}>a</button>\n', []],
  ['ui-design', 'html', '<html><body></body></html>\n', ['the page has no lang (WCAG 3.1.1)']],
  ['ui-design', 'html', '<html lang="en"><body></body></html>\n', []],
  [
    'ui-design',
    'html',
    '<meta name="viewport" content="width=device-width, user-scalable=no">\n',
    ['the viewport forbids to zoom (WCAG 1.4.4)'],
  ],
  ['ui-design', 'html', '<meta name="viewport" content="width=device-width, initial-scale=1">\n', []],
];

for (const [name, language, content, expected] of cases) {
  const found = expected.length === 0 ? 'nothing to note' : expected.join(', ');
  test(`${name}: ${found} in ${JSON.stringify(content).slice(0, 80)}`, () => {
    assert.equal(messagesOn(name, language, content), expected);
  });
}

// 1 MB each of what makes bad patterns explode: quadratic code would take minutes, ours takes 0.3 s at most.
const hostile: readonly string[] = [
  'a',
  ' ',
  '\n',
  '`',
  '```x\n',
  '~',
  '# ',
  '<img ',
  '<div onClick={',
  '<a x="',
  '{',
  '/*',
  '"\\',
  '<!--',
  'img = cv2.imread(',
  'a, b = c.read()\n',
  'x = cv2.VideoCapture(y)\nx.read()\n',
  'ISR(x) {',
  'ISR(x) { y = 1; }\nbool y;\n',
  '#include <a>\nnew ',
  '// ',
  '```` a',
  '    - ',
  'tabindex = ',
];

test('1 MB of hostile text does not hold up any domain', () => {
  for (const piece of hostile) {
    const long = piece.repeat(Math.ceil(1_000_000 / piece.length));
    for (const content of [
      long,
      `\`\`\`${long}\`x`,
      `#include <x>\nimport cv2\n${long}\nVideoCapture imread`,
    ]) {
      for (const name of domainNames) {
        const started = performance.now();
        aDomain(name).rules({ content });
        const took = performance.now() - started;
        assert.ok(took < 10_000, `${name} took ${Math.round(took)} ms for ${JSON.stringify(piece)}`);
      }
    }
  }
});

test.run();
