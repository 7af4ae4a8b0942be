"use strict";
(() => {
  const root = document.documentElement;
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);

  // Figures: each still image is replaced by the live chart once it comes near the window.
  const NIGHT = {
    "#ffffff": "#14171c", "#22262e": "#e6e8ec", "#8a919c": "#9aa3af", "#e4e7ec": "#2c323b", "#c3c8d0": "#3c4450", "#667085": "#a2abb8",
    "#0072b2": "#5bb0e6", "#5c6470": "#aab2bd", "#4b5563": "#b9c1cb", "#7c8591": "#98a1ad", "#2f3640": "#d3d9e1", "#b1508b": "#dd8cbd",
    "#00836a": "#45c2a5", "#d55e00": "#f58a4b",
  };
  const drawing = new Map();
  const draw = async (figure) => {
    if (!window.vegaEmbed) return;
    let text = figure.querySelector("script").textContent;
    if (dark()) text = text.replace(/"(#[0-9a-f]{6})"/g, (all, colour) => `"${NIGHT[colour] || colour}"`);
    const spec = JSON.parse(text);
    delete spec.$schema;
    const live = figure.querySelector(".live");
    const before = drawing.get(figure);
    const promise = vegaEmbed(live, spec, { mode: "vega-lite", actions: false, renderer: "svg", logLevel: 1, tooltip: { theme: dark() ? "dark" : "light" } });
    drawing.set(figure, promise);
    try {
      if (before) (await before).finalize();
      await promise;
      figure.classList.add("drawn");
    } catch (error) {
      drawing.delete(figure);
      console.error(`figure ${figure.id}:`, error);
    }
  };
  const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (!entry.isIntersecting) return;
    seen.unobserve(entry.target);
    draw(entry.target);
  }), { rootMargin: "600px" });
  document.querySelectorAll("figure.plot").forEach((figure) => {
    figure.querySelector("a.svg").href = figure.querySelector(".still img").src;
    seen.observe(figure);
  });
  const redraw = () => [...drawing.keys()].forEach(draw);
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => document.querySelectorAll("details.task").forEach((section) => { section.open = true; }));

  const copy = async (button, text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.body.appendChild(document.createElement("textarea"));
      area.value = text;
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    const label = button.textContent;
    button.textContent = "copied";
    setTimeout(() => { button.textContent = label; }, 1200);
  };
  document.querySelectorAll("[data-copy-from]").forEach((button) => button.addEventListener("click", () =>
    copy(button, document.getElementById(button.dataset.copyFrom).textContent)));

  // Leaderboard.
  const table = document.getElementById("board");
  if (!table) return;
  const form = document.getElementById("filters");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const NUMERIC = new Set(["order", "budget", "value", "ci", "delta", "copies", "corrected", "fits", "time"]);
  const BEST_FIRST = new Set(["value", "ci", "delta", "copies", "corrected"]);

  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  const compare = (column, key, sign) => (a, b) => {
    const x = a.cells[column].dataset.v, y = b.cells[column].dataset.v;
    if (x === "" || y === "") return (x === "") - (y === "");
    return sign * (NUMERIC.has(key) ? x - y : collator.compare(x, y));
  };

  // A bracket spans neighbouring rows whose ranks overlap; rows without a rank between two of them lie inside it.
  const bracket = () => {
    const shown = [...body.rows].filter((row) => !row.hidden);
    const byRank = heads[0].getAttribute("aria-sort") !== "none";
    let run = [], previous = null;
    const close = () => {
      while (run.length && run[run.length - 1].dataset.group === undefined) run.pop();
      if (run.filter((row) => row.dataset.group !== undefined).length > 1) {
        run.forEach((row) => row.classList.add("tied"));
        run[0].classList.add("tied-first");
        run[run.length - 1].classList.add("tied-last");
      }
      run = [];
    };
    for (const row of shown) {
      row.classList.remove("tied", "tied-first", "tied-last", "new-board");
      const other = previous && previous.dataset.board !== row.dataset.board;
      if (other && byRank) row.classList.add("new-board");
      const group = run.length ? run[0].dataset.group : undefined;
      if (other || (row.dataset.group !== undefined && row.dataset.group !== group)) close();
      if (row.dataset.group !== undefined || run.length) run.push(row);
      previous = row;
    }
    close();
  };
  // Whiskers are drawn on the range of what is shown of their task, so that one board fills its column.
  const PARTS = rows.map((row) => [...row.querySelectorAll(".whisker i")]);
  const stretch = () => {
    const ranges = new Map();
    const key = (row) => `${row.dataset.task} ${row.dataset.protocol} ${row.querySelector("td.strong small").textContent}`;
    const ends = (part) => [part.dataset.at, part.dataset.to].filter((end) => end !== undefined).map(Number);
    const keys = rows.map(key);
    rows.forEach((row, index) => {
      if (row.hidden) return;
      const all = PARTS[index].filter((part) => part.className !== "chance").flatMap(ends);
      const range = ranges.get(keys[index]) || [Infinity, -Infinity];
      ranges.set(keys[index], [Math.min(range[0], ...all), Math.max(range[1], ...all)]);
    });
    rows.forEach((row, index) => {
      if (row.hidden) return;
      const [low, high] = ranges.get(keys[index]);
      const place = (value) => (high > low ? 4 + (92 * (value - low)) / (high - low) : 50);
      for (const part of PARTS[index]) {
        const [from, to] = ends(part).map(place);
        part.hidden = from < 0 || from > 100;
        part.style.left = `${from}%`;
        if (to !== undefined) part.style.width = `${to - from}%`;
      }
    });
  };
  const refresh = () => {
    const wanted = Object.fromEntries(new FormData(form));
    const find = (wanted.find || "").trim().toLowerCase();
    const figures = wanted.published;
    delete wanted.find;
    delete wanted.published;
    const published = (row) => !figures || (figures === "firm" ? row.dataset.doubtful === undefined : row.dataset.kind !== "published");
    let visible = 0;
    const boards = new Set();
    for (const row of rows) {
      const fits = Object.entries(wanted).every(([name, value]) => !value || row.dataset[name] === value)
        && published(row) && (!find || `${row.cells[1].dataset.v} ${row.dataset.task}`.toLowerCase().includes(find));
      row.hidden = !fits;
      if (fits) { visible += 1; boards.add(row.dataset.board); }
    }
    const one = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
    document.getElementById("shown").textContent =
      (visible < rows.length ? `${visible} of ${one(rows.length, "score")}` : one(visible, "score")) + ` on ${one(boards.size, "board")}`;
    document.getElementById("none").hidden = visible > 0;
    bracket();
    stretch();
  };
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    const key = button.dataset.key;
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const first = BEST_FIRST.has(key) ? "descending" : "ascending";
      const next = now === "none" ? first : now === "ascending" ? "descending" : "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", next);
      body.append(...[...body.rows].sort(compare(column, key, next === "ascending" ? 1 : -1)));
      bracket();
    });
  });
  form.addEventListener("input", refresh);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(refresh));

  const cellText = (cell) => [...cell.childNodes].filter((node) => node.nodeName !== "SMALL")
    .map((node) => (node.classList && (node.classList.contains("caveat") || node.classList.contains("whisker")) ? "" : node.textContent))
    .join(" ").replace(/\s+/g, " ").trim();
  const shownTable = () => {
    const title = (head) => head.textContent.trim();
    const columns = ["Rank", "Model", "Kind", "Task", "Method", "Protocol", "Budget", "Metric", "Score", "95 % interval", "vs best control", "q", "Without copies", "Rows fewer", "Corrected", "Species seen", "Fits"];
    const small = (cell) => (cell.querySelector("small") ? cell.querySelector("small").textContent.trim() : "");
    const rounded = (value) => (value === "" ? "" : Number(value).toFixed(3));
    const at = Object.fromEntries(heads.map((head, index) => [title(head), index]));
    const lines = [...body.rows].filter((row) => !row.hidden).map((row) => {
      const cell = (name) => row.cells[at[name]];
      const beside = (name) => (name in at ? cell(name).dataset.v : "");
      const fewer = "Without copies" in at ? small(cell("Without copies")).replace(/\D/g, "") : "";
      return [
        cellText(cell("Rank")), row.cells[1].dataset.v, row.dataset.kind, row.dataset.task, row.dataset.method, row.dataset.protocol,
        row.dataset.budget, small(cell("Score")), cellText(cell("Score")), small(cell("95 % interval")),
        cellText(cell("vs control")), small(cell("vs control")).replace(/^q\s*=?\s*/, ""),
        rounded(beside("Without copies")), fewer, rounded(beside("Corrected")), beside("Species"), cellText(cell("Fits")),
      ];
    });
    return [columns, ...lines];
  };
  const FORMATS = {
    csv: (lines) => lines.map((line) => line.map((cell) => (/[",\n]/.test(cell) ? `"${cell.replace(/"/g, '""')}"` : cell)).join(",")).join("\n"),
    markdown: (lines) => [lines[0], lines[0].map(() => "---"), ...lines.slice(1)]
      .map((line) => `| ${line.map((cell) => cell.replace(/\|/g, "\\|")).join(" | ")} |`).join("\n"),
    latex: (lines) => {
      const special = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "–": "--", "−": "$-$", "<": "$<$", ">": "$>$" };
      const safe = (cell) => cell.replace(/[\\~^–−<>&%$#_{}]/g, (sign) => special[sign] || `\\${sign}`);
      const [head, ...rest] = lines.map((line) => line.map(safe).join(" & ") + " \\\\");
      return [`\\begin{tabular}{${"l".repeat(lines[0].length)}}`, "\\toprule", head, "\\midrule", ...rest, "\\bottomrule", "\\end{tabular}"].join("\n");
    },
  };
  document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", () =>
    copy(button, `${FORMATS[button.dataset.copy](shownTable())}\n`)));

  // A long leaderboard opens on one task and budget; without this script it shows everything.
  form.querySelectorAll("option[data-opening]").forEach((option) => { option.selected = true; });
  refresh();
})();
