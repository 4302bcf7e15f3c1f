/** The live page: reads snapshots from `/live` and shows them. All text is set as text, never as HTML. */
const $ = (id) => document.getElementById(id);
const main = document.querySelector('main');
const RATE_MS = 10_000;
const KEPT_MS = 120_000;
let history = [];
let failuresOnly = false;

$('failures').addEventListener('change', ({ target }) => {
  failuresOnly = target.checked;
  if (history.length > 0) showRecent(history.at(-1));
});
$('token').addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.setItem('token', $('token-text').value);
  $('token').hidden = true;
  watch();
});
watch();

/** Reads snapshots until they end, and again after a while; fetch, because an EventSource sends no token. */
async function watch() {
  for (let pauseMs = 1000; ; pauseMs = Math.min(pauseMs * 2, 15_000)) {
    try {
      const token = sessionStorage.getItem('token');
      const response = await fetch('live', {
        headers: token === null ? {} : { authorization: `Bearer ${token}` },
      });
      if (response.status === 401 || response.status === 403) {
        askForToken(token === null ? '' : 'This token does not open the page.');
        return;
      }
      if (!response.ok) throw new Error(`answer ${response.status}`);
      setConnection('live', 'good');
      for await (const snapshot of snapshots(response.body)) {
        pauseMs = 1000;
        show(snapshot);
      }
    } catch {
      // What follows says it.
    }
    setConnection('disconnected, trying again', 'bad');
    main.classList.add('stale');
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

async function* snapshots(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ''; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (rest + value).split('\n\n');
    rest = events.pop();
    for (const event of events) {
      const data = /^data: (.*)$/m.exec(event);
      if (data !== null) yield JSON.parse(data[1]);
    }
  }
}

function askForToken(error) {
  setConnection('a token is needed', 'bad');
  $('token').hidden = false;
  $('token-error').textContent = error;
  $('token-text').focus();
}

function setConnection(text, kind) {
  const pill = $('connection');
  if (pill.textContent !== text) pill.textContent = text;
  pill.className = `pill ${kind}`;
}

function show(snapshot) {
  // A restart begins to count anew.
  const last = history.at(-1);
  if (last !== undefined && ended(snapshot) < ended(last)) history = [];
  history = [...history.filter(({ at }) => at > snapshot.at - KEPT_MS), snapshot];
  main.hidden = false;
  main.classList.remove('stale');
  const { version, workers } = snapshot;
  $('node').textContent = `version ${version}, ${workers} ${workers === 1 ? 'process' : 'processes'}`;
  showTiers(snapshot);
  showState(snapshot);
  showTokens(snapshot);
  showRecent(snapshot);
}

const ended = ({ tiers }) => tiers.reduce((sum, { completed, failed }) => sum + completed + failed, 0);

/** The snapshot of so many milliseconds ago, or the oldest. */
const before = (ms) => history.find(({ at }) => at >= history.at(-1).at - ms) ?? history[0];

/** Growth per second of what `read` finds in a snapshot. */
function rate(read) {
  const [old, now] = [before(RATE_MS), history.at(-1)];
  return now.at === old.at ? 0 : ((read(now) - read(old)) * 1000) / (now.at - old.at);
}

function showTiers({ tiers }) {
  const list = $('tiers');
  while (list.children.length < tiers.length) list.append(tierCard());
  tiers.forEach((tier, at) => {
    const card = list.children[at];
    const part = (name) => card.querySelector(`[data-part=${name}]`);
    const tasks = ({ tiers }) => tiers[at].completed + tiers[at].failed;
    const p95 = percentile(tiers[at].durations, before(KEPT_MS).tiers[at].durations);
    part('name').textContent = tier.tier;
    part('rate').textContent = `${shortNumber(rate(tasks))}/s`;
    part('slots').textContent = `${tier.used} of ${tier.limit}`;
    setMeter(part('slots-meter'), tier.used, tier.limit, `slots of ${tier.tier} in use`);
    part('waiting').textContent = tier.waiting;
    part('p95').textContent =
      p95 === undefined ? `– of ${tier.limit_seconds} s` : `${seconds(p95)} of ${tier.limit_seconds} s`;
    part('p95').className = p95 > tier.limit_seconds ? 'bad' : '';
    setMeter(part('p95-meter'), p95 ?? 0, tier.limit_seconds, `P95 of ${tier.tier} against its limit`);
    part('failed').textContent = `${tier.failed} of ${tier.completed + tier.failed}`;
    drawLine(
      part('line'),
      history.slice(1).map((now, i) => tasks(now) - tasks(history[i])),
    );
  });
}

function tierCard() {
  const card = document.createElement('li');
  const heading = document.createElement('h3');
  heading.append(element('span', 'name'), element('span', 'rate', 'quiet'));
  const values = document.createElement('dl');
  for (const [term, name] of [
    ['Slots', 'slots'],
    ['Waiting', 'waiting'],
    ['P95', 'p95'],
    ['Failed', 'failed'],
  ]) {
    const title = document.createElement('dt');
    title.textContent = term;
    values.append(title, element('dd', name));
  }
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  line.dataset.part = 'line';
  line.setAttribute('viewBox', '0 0 100 20');
  line.setAttribute('preserveAspectRatio', 'none');
  line.setAttribute('aria-hidden', 'true');
  line.append(document.createElementNS('http://www.w3.org/2000/svg', 'polyline'));
  card.append(heading, element('meter', 'slots-meter'), values, element('meter', 'p95-meter'), line);
  return card;
}

function element(tag, part, className = '') {
  const made = document.createElement(tag);
  made.dataset.part = part;
  made.className = className;
  return made;
}

function setMeter(meter, value, most, label) {
  meter.max = Math.max(most, 1e-9);
  meter.value = Math.min(value, most);
  meter.setAttribute('aria-label', label);
}

function drawLine(svg, values) {
  const most = Math.max(1, ...values);
  const points = values.map(
    (value, at) => `${(at * 100) / Math.max(1, values.length - 1)},${19 - (value * 18) / most}`,
  );
  svg.firstChild.setAttribute('points', points.join(' '));
}

/** The 95th percentile in seconds of what came between two states of a histogram, inside its bucket by proportion. */
function percentile(now, old) {
  const known = new Map(old);
  const counts = now.map(([bound, count]) => [
    Number(bound.replace('+Inf', 'Infinity')),
    count - (known.get(bound) ?? 0),
  ]);
  const total = counts.at(-1)?.[1] ?? 0;
  if (total === 0) return undefined;
  let [lower, below] = [0, 0];
  for (const [bound, count] of counts) {
    if (count >= total * 0.95) {
      if (bound === Infinity) return lower;
      return lower + ((bound - lower) * (total * 0.95 - below)) / (count - below);
    }
    [lower, below] = [bound, count];
  }
  return lower;
}

function showState({ outbox, breakers, dependencies }) {
  const rows = [
    ...Object.entries(dependencies).map(([name, ok]) => [
      name,
      ok === 1 ? 'connected' : 'disconnected',
      ok === 1,
    ]),
    ...Object.entries(breakers).map(([name, state]) => [
      `endpoint ${name}`,
      `breaker ${['closed', 'half open', 'open'][state]}`,
      state === 0,
    ]),
    [
      'events that wait',
      outbox.depth === 0 ? 'none' : `${outbox.depth}, the oldest for ${seconds(outbox.oldest_seconds)}`,
      outbox.oldest_seconds < 60,
    ],
  ];
  $('state').replaceChildren(
    ...rows.flatMap(([name, text, good]) => {
      const [term, value] = [document.createElement('dt'), document.createElement('dd')];
      term.textContent = name;
      value.textContent = text;
      value.className = good ? 'good' : 'bad';
      return [term, value];
    }),
  );
}

function showTokens({ tokens }) {
  const models = [...new Set(tokens.map(({ model }) => model))].sort();
  const of = (model, direction) =>
    rate(
      ({ tokens }) => tokens.find((each) => each.model === model && each.direction === direction)?.value ?? 0,
    );
  $('tokens').replaceChildren(
    ...models.map((model) =>
      row([model, [shortNumber(of(model, 'prompt'))], [shortNumber(of(model, 'completion'))]]),
    ),
  );
}

function showRecent({ recent }) {
  const shown = recent.filter(({ status }) => !failuresOnly || status === 'failed');
  $('none').hidden = shown.length > 0;
  $('recent').replaceChildren(
    ...shown.map((task) => {
      const cells = row([
        new Date(task.finished_at).toLocaleTimeString(),
        task.task_id,
        task.code ?? 'completed',
        task.domain,
        task.tier ?? '',
        task.model ?? '',
        [task.execution_time_ms === undefined ? '' : seconds(task.execution_time_ms / 1000)],
        [String(task.tokens_used)],
      ]);
      cells.children[2].className = task.status === 'failed' ? 'bad' : 'good';
      return cells;
    }),
  );
}

/** A row of a table; a list is a number. */
function row(cells) {
  const made = document.createElement('tr');
  for (const cell of cells) {
    const td = document.createElement('td');
    td.textContent = Array.isArray(cell) ? cell[0] : cell;
    if (Array.isArray(cell)) td.className = 'number';
    made.append(td);
  }
  return made;
}

const seconds = (value) => (value < 1 ? `${Math.round(value * 1000)} ms` : `${shortNumber(value)} s`);
const shortNumber = (value) =>
  value >= 100 ? Math.round(value).toString() : value.toPrecision(2).replace(/\.0$/, '');
