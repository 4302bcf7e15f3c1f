/* Runs in the browser: draws the recordings of each scenario, again when its colours or its width change. */
(() => {
  const all = JSON.parse(document.getElementById('recordings').textContent);
  const dark = matchMedia('(prefers-color-scheme: dark)');
  let drawn = [];

  function draw() {
    for (const chart of drawn) chart.destroy();
    drawn = [];
    const style = getComputedStyle(document.documentElement);
    const theme = {
      text: style.getPropertyValue('--text').trim(),
      line: style.getPropertyValue('--line').trim(),
      colours: style.getPropertyValue('--colours').trim().split(/\s+/),
    };
    for (const place of document.querySelectorAll('.charts')) {
      const recordings = all[place.dataset.scenario] ?? [];
      place.replaceChildren();
      drawLatencies(
        place,
        recordings.filter(({ percentiles }) => percentiles.length > 0),
        theme,
      );
      drawThroughput(
        place,
        recordings.filter(({ perSecond }) => perSecond.some((round) => round.length > 1)),
        theme,
      );
    }
  }

  /** Percentiles by their distance from 100, so that the tail has as much room as the middle. */
  function drawLatencies(place, recordings, theme) {
    if (recordings.length === 0) return;
    const percentiles = recordings[0].percentiles.map(([percentile]) => percentile);
    const position = (percentile) => -Math.log10(1 - percentile / 100);
    const ticks = [0, 50, 90, 99, 99.9, 99.99, 99.999];
    chart(place, theme, {
      title: 'Latency by percentile, ms',
      data: [percentiles.map(position), ...recordings.map((one) => one.percentiles.map(([, ms]) => ms))],
      names: recordings.map(({ name }) => name),
      x: {
        label: 'percentile',
        splits: ticks.map(position),
        text: (value) => `${Number((100 * (1 - 10 ** -value)).toFixed(3))}`,
      },
      logarithmic: true,
      unit: 'ms',
    });
  }

  /** All rounds one after the other, with a gap between them. */
  function drawThroughput(place, recordings, theme) {
    if (recordings.length === 0) return;
    const lines = recordings.map(({ perSecond }) => perSecond.flatMap((round) => [...round, null]));
    const length = Math.max(...lines.map((line) => line.length));
    chart(place, theme, {
      title: 'Answers in each second, round after round',
      data: [
        Array.from({ length }, (_, second) => second),
        ...lines.map((line) => Array.from({ length }, (_, second) => line[second] ?? null)),
      ],
      names: recordings.map(({ name }) => name),
      x: { label: 'second', text: (value) => `${value}` },
      logarithmic: false,
      unit: '1/s',
    });
  }

  function chart(place, theme, { title, data, names, x, logarithmic, unit }) {
    const axis = {
      stroke: theme.text,
      grid: { stroke: theme.line, width: 1 },
      ticks: { stroke: theme.line, width: 1 },
    };
    const read = (value) => (value == null ? '–' : `${Number(value.toPrecision(4))} ${unit}`);
    const options = {
      title,
      width: Math.max(320, Math.floor(place.clientWidth / 2) - 12),
      height: 300,
      scales: {
        x: { time: false },
        y: logarithmic ? { distr: 3 } : { range: (_, __, max) => [0, max || 1] },
      },
      axes: [
        {
          ...axis,
          label: x.label,
          ...(x.splits && { splits: () => x.splits }),
          values: (_, values) => values.map(x.text),
        },
        { ...axis, size: 64 },
      ],
      series: [
        { label: x.label, value: (_, value) => (value == null ? '–' : x.text(value)) },
        ...names.map((label, index) => ({
          label,
          stroke: theme.colours[index % theme.colours.length],
          width: 2,
          dash: index % 2 === 0 ? undefined : [6, 4],
          value: (_, value) => read(value),
          points: { show: false },
        })),
      ],
    };
    drawn.push(new uPlot(options, data, place));
  }

  let pending;
  addEventListener('resize', () => {
    clearTimeout(pending);
    pending = setTimeout(draw, 150);
  });
  dark.addEventListener('change', draw);
  draw();
})();
