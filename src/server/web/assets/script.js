// What the pages do beyond showing: every page is whole without it.
'use strict';
const $ = (selector, from = document) => from.querySelector(selector);
const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
const data = document.body.dataset;

// A link that logs in has one button; pressing it is all there is to do on that page.
const press = $('form[data-press]');
if (press) press.requestSubmit();

// Times: the reader's zone, with its offset and UTC on hover or focus.
const day = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const short = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const offset = (at) => {
  const minutes = -at.getTimezoneOffset();
  const two = (n) => String(Math.floor(Math.abs(n))).padStart(2, '0');
  return (minutes < 0 ? '−' : '+') + two(minutes / 60) + ':' + two(minutes % 60);
};
function times(root) {
  for (const time of $$('time[datetime]', root)) {
    const at = new Date(time.dateTime);
    if (isNaN(at)) continue;
    const utc = at.toISOString().replace('T', ' ').replace(/\.\d+Z$/, ' UTC');
    time.textContent = (time.classList.contains('t-short') ? short : full).format(at);
    time.title = full.format(at) + ' ' + offset(at) + '\n' + utc;
  }
  for (const table of $$('table[data-days]', root)) days(table);
}
// Runs stand by days of the reader, not by those of UTC.
function days(table) {
  const body = table.tBodies[0];
  $$('tr.day', body).forEach((row) => row.remove());
  let last = '';
  for (const row of $$('tr[data-row]', body)) {
    const time = $$('time', row).pop();
    const label = day.format(new Date(time.dateTime));
    if (label === last) continue;
    last = label;
    const head = document.createElement('tr');
    head.className = 'day';
    const cell = head.insertCell();
    cell.colSpan = 7;
    cell.textContent = label;
    row.before(head);
  }
}
times(document);

// How long what goes on has taken so far.
const started = new Date($('#facts time')?.dateTime);
setInterval(() => {
  for (const part of $$('[data-ticks]')) {
    const all = Math.max(0, Math.floor((Date.now() - started) / 1000));
    const two = (n) => String(n).padStart(2, '0');
    const [s, m, h] = [all % 60, Math.floor(all / 60) % 60, Math.floor(all / 3600)];
    part.textContent = (h ? h + 'h ' + two(m) + 'm' : m ? m + 'm ' + two(s) + 's' : s + 's') + ' so far';
  }
}, 1000);
const zone = $('#zone');
if (zone) zone.textContent = 'times are yours, ' + Intl.DateTimeFormat().resolvedOptions().timeZone + ' · ? for keys';

// Live parts: when something happened, the page is asked for again, and the parts that differ take the place of the old ones.
// A page that takes long is asked for less often.
let asking = false, again = false, lastAsked = 0, cost = 0;
async function refresh() {
  if (asking) { again = true; return; }
  asking = true;
  const wait = lastAsked + Math.max(100, 4 * cost) - Date.now();
  if (wait > 0) await new Promise((done) => setTimeout(done, wait));
  lastAsked = Date.now();
  again = false;
  try {
    const answer = await fetch(location.pathname + location.search, { headers: { Accept: 'text/html' } });
    if (answer.ok) swap(new DOMParser().parseFromString(await answer.text(), 'text/html'));
  } catch { /* The server is away: the stream says so and comes back. */ }
  cost = Date.now() - lastAsked;
  asking = false;
  if (again) { again = false; refresh(); }
}
function swap(fresh) {
  for (const part of $$('[data-live]')) {
    const other = fresh.getElementById(part.id);
    if (!other) continue;
    times(other);
    if (other.innerHTML === part.innerHTML && other.className === part.className) continue;
    const focused = part.contains(document.activeElement) && document.activeElement.getAttribute('href');
    const { scrollLeft, scrollTop } = part;
    part.replaceWith(document.adoptNode(other));
    Object.assign(other, { scrollLeft, scrollTop });
    if (focused) $$('a', other).find((a) => a.getAttribute('href') === focused)?.focus();
  }
  document.title = fresh.title;
}

// One stream a page, closed while the page is hidden.
let stream = null;
function listen(address, names, heard) {
  let ended = false;
  const open = () => {
    if (ended || stream || document.hidden) return;
    stream = new EventSource(address());
    for (const name of names) stream.addEventListener(name, (event) => heard(name, event));
    stream.addEventListener('reset', () => heard('reset'));
    stream.addEventListener('end', () => { ended = true; close(); heard('end'); });
  };
  const close = () => { stream?.close(); stream = null; };
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) close(); else if (!stream && !ended) { heard('reset'); open(); }
  });
  addEventListener('pagehide', close);
  addEventListener('pageshow', open);
  open();
}
if (data.events) {
  const names = ['run_started', 'run_finished', 'node_started', 'node_expanded', 'node_finished', 'attempt_failed', 'warning', 'instant', 'loaded', 'broken', 'gone', 'paused', 'resumed'];
  listen(() => data.events, names, refresh);
}

// A log: parts before and behind on request, the end followed, a line that a link means shown and marked.
const lines = $('#lines');
function mark() {
  $$('.log .on').forEach((line) => line.classList.remove('on'));
  const wanted = /^#L(\d+)$/.exec(location.hash);
  if (!wanted || !lines) return;
  const line = document.getElementById('L' + wanted[1]);
  if (line) {
    line.classList.add('on');
    line.scrollIntoView({ block: 'center' });
  } else if (new URLSearchParams(location.search).get('line') !== wanted[1]) {
    const query = new URLSearchParams(location.search);
    query.delete('offset');
    query.set('line', wanted[1]);
    location.replace('?' + query + location.hash);
  }
}
if (lines) {
  addEventListener('hashchange', mark);
  mark();
  // What is wanted of a log is its end.
  if (!location.hash.startsWith('#L') && !$('a[data-log=later]')) lines.scrollTop = lines.scrollHeight;
  const wrap = document.createElement('button');
  wrap.textContent = 'Wrap';
  wrap.className = 'small';
  wrap.setAttribute('aria-pressed', 'true');
  wrap.addEventListener('click', () => wrap.setAttribute('aria-pressed', String(!lines.classList.toggle('long'))));
  $('#log header').append(wrap);
  lines.addEventListener('click', (event) => {
    const line = event.target.closest('span[data-n]');
    if (line && event.offsetX < 48) history.replaceState(null, '', '#' + line.id), mark();
  });
  document.addEventListener('click', async (event) => {
    const link = event.target.closest('a[data-log]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const answer = await fetch(link.href, { headers: { Accept: 'text/html' } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const part = fresh.getElementById('lines');
    if (!part) return;
    const side = link.dataset.log;
    const height = lines.scrollHeight;
    const known = new Set($$('span[id]', lines).map((line) => line.id));
    const added = [...part.children].filter((line) => !line.id || !known.has(line.id)).map((line) => document.adoptNode(line));
    if (side === 'earlier') lines.prepend(...added); else lines.append(...added);
    if (side === 'earlier') lines.scrollTop += lines.scrollHeight - height;
    const next = $('a[data-log=' + side + ']', fresh);
    if (next) link.href = next.href; else link.parentElement.remove();
    if (side === 'later' && part.dataset.follow) { lines.dataset.follow = part.dataset.follow; follow(); }
  });
  const last = () => lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
  // The end of the log, line by line: the page that shows them is asked for again, so that they look the same.
  const follow = () => {
    if (!lines.dataset.follow) return;
    lines.scrollTop = lines.scrollHeight;
    listen(() => lines.dataset.follow, ['log', 'node_started', 'node_finished'], async () => {
      if (asking) { again = true; return; }
      asking = true;
      const isLast = last();
      try {
        const answer = await fetch(location.pathname + location.search, { headers: { Accept: 'text/html' } });
        if (answer.ok) {
          const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
          const part = fresh.getElementById('lines');
          if (part) {
            const first = part.firstElementChild?.id;
            const known = new Set($$('span[id]', lines).map((line) => line.id));
            // The last line may have grown.
            const end = lines.lastElementChild;
            if (end?.id && part.querySelector('#' + end.id)) { known.delete(end.id); end.remove(); }
            if (!first || !lines.children.length) lines.replaceChildren();
            for (const line of [...part.children]) if (!line.id || !known.has(line.id)) lines.append(document.adoptNode(line));
            if (part.dataset.follow) lines.dataset.follow = part.dataset.follow;
          }
          const head = $('h1 .st', fresh);
          if (head) $('h1 .st').replaceWith(document.adoptNode(head));
        }
      } catch { /* The stream comes back. */ }
      asking = false;
      if (isLast) lines.scrollTop = lines.scrollHeight;
    });
  };
  follow();
}

// A node of a run as a panel beside the run; the link in its head leads to its page.
if (data.run && $('#node-rows')) document.addEventListener('click', async (event) => {
  const link = event.target.closest('a[href*="/nodes/"]');
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || innerWidth < 980) return;
  if (link.closest('dialog')) return;
  const address = link.href.baseVal ? new URL(link.href.baseVal, location.href).href : link.href;
  event.preventDefault();
  const fresh = await part(address);
  if (!fresh) { location.href = address; return; }
  for (const other of $$('a[href^="?"], a[href^="#"]', fresh)) other.href = new URL(other.getAttribute('href'), address).href;
  for (const form of $$('form[method=get]', fresh)) form.action = address;
  $$('[id]', fresh).forEach((element) => element.removeAttribute('id'));
  $$('[aria-labelledby]', fresh).forEach((element) => element.removeAttribute('aria-labelledby'));
  const dialog = document.createElement('dialog');
  dialog.className = 'panel';
  dialog.setAttribute('aria-label', link.getAttribute('aria-label') || link.textContent);
  const head = document.createElement('div'), whole = document.createElement('a'), close = document.createElement('button');
  head.className = 'btns';
  whole.className = 'btn';
  whole.href = address;
  whole.textContent = 'Open as a page';
  close.textContent = 'Close';
  close.addEventListener('click', () => dialog.close());
  head.append(whole, close);
  dialog.append(head, ...fresh.childNodes);
  dialog.addEventListener('close', () => { dialog.remove(); link.focus({ preventScroll: true }); });
  dialog.addEventListener('click', (click) => { if (click.target === dialog) dialog.close(); });
  times(dialog);
  document.body.append(dialog);
  dialog.showModal();
  const log = $('pre.log', dialog);
  if (log) log.scrollTop = log.scrollHeight;
});
async function part(address) {
  try {
    const answer = await fetch(address, { headers: { Accept: 'text/html' } });
    return answer.ok ? document.adoptNode($('main', new DOMParser().parseFromString(await answer.text(), 'text/html'))) : null;
  } catch { return null; }
}

// Keys: off inside fields.
const base = data.base;
const pages = { r: '/runs', w: '/workflows', s: '/schedules', c: '/cache' };
let pending = '';
const rows = () => $$('tr[data-row]');
let at = -1;
function row(step) {
  const all = rows();
  if (!all.length) return;
  all[at]?.classList.remove('at');
  at = Math.max(0, Math.min(all.length - 1, at + step));
  all[at].classList.add('at');
  all[at].scrollIntoView({ block: 'nearest' });
  $('a', all[at])?.focus({ preventScroll: true });
}
function help() {
  const open = $('dialog.keys');
  if (open) { open.close(); return; }
  const dialog = document.createElement('dialog');
  dialog.className = 'keys card';
  const list = document.createElement('dl');
  list.className = 'kv pad';
  for (const [keys, words] of [['/', 'search'], ['j k', 'next and previous row'], ['g r', 'runs'], ['g w', 'workflows'], ['g s', 'schedules'], ['g c', 'cache'], ['f', 'next failure'], ['l', 'log'],
    ['[ ]', 'run before and after'], ['d', 'compare'], ['Esc', 'close'], ['?', 'these keys']]) {
    const term = document.createElement('dt'), text = document.createElement('dd');
    for (const key of keys.split(' ')) {
      const kbd = document.createElement('kbd');
      kbd.textContent = key;
      term.append(kbd, ' ');
    }
    text.textContent = words;
    list.append(term, text);
  }
  dialog.append(list);
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
let failure = -1;
const go = (path) => { location.href = base + path; };
addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, select, textarea, dialog')) {
    if (event.key === 'Escape' && event.target.matches('input')) event.target.blur();
    if (event.key === '?' && event.target.closest('dialog')) help();
    return;
  }
  const key = event.key;
  if (pending === 'g') {
    pending = '';
    if (pages[key]) { go(pages[key]); event.preventDefault(); }
    return;
  }
  const run = data.run;
  const actions = {
    '/': () => $('input[type=search]')?.focus(),
    j: () => row(1),
    k: () => row(-1),
    g: () => { pending = 'g'; setTimeout(() => { pending = ''; }, 1500); },
    '?': help,
    '[': () => data.previous && go('/runs/' + data.previous),
    ']': () => data.next && go('/runs/' + data.next),
    d: () => run && data.other && go('/runs/' + run + '/compare/' + data.other),
    f: () => {
      const all = $$('.failure, tr[data-failed]');
      if (!all.length) return;
      failure = (failure + 1) % all.length;
      all[failure].scrollIntoView({ block: 'center' });
      $('a', all[failure])?.focus({ preventScroll: true });
    },
    l: () => { const log = $('#lines, pre.log'); log?.scrollIntoView({ block: 'center' }); log?.focus({ preventScroll: true }); },
  };
  if (actions[key]) { actions[key](); event.preventDefault(); }
});
