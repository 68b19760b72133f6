// What the browser tests ask a page, as functions of `ask`. Runs inside the page, beside its own script; changes nothing but what it says.
var ask = (() => {
  const shown = e => e.checkVisibility({ contentVisibilityAuto: true, opacityProperty: true, visibilityProperty: true });
  const path = e => {
    const name = e.id ? '#' + e.id : [...e.classList].map(c => '.' + c).join('');
    const up = e.parentElement && !e.id ? path(e.parentElement) + ' > ' : '';
    return up + e.localName + name;
  };
  const rgba = text => {
    const n = (text.match(/[\d.]+/g) || []).map(Number);
    return text === 'none' || n.length < 3 ? [0, 0, 0, 0] : [n[0], n[1], n[2], n[3] ?? 1];
  };
  const over = (top, below) => below.map((b, i) => (i < 3 ? top[i] * top[3] + b * (1 - top[3]) : 1));
  const light = c => {
    const [r, g, b] = c.map(v => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)];
    return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
  };
  // What lies below a text: backgrounds of the boxes around it, and filled shapes drawn under it.
  const ground = (element, x, y) => {
    const layers = [];
    for (const e of document.elementsFromPoint(x, y)) {
      const style = getComputedStyle(e);
      const drawn = e instanceof SVGGeometryElement;
      if (e === element || e.localName === 'text') continue;
      const c = rgba(drawn ? style.fill : style.backgroundColor);
      if (drawn) c[3] *= Number(style.fillOpacity) * Number(style.opacity);
      if (c[3] > 0) layers.push(c);
      if (c[3] === 1) break;
    }
    return layers.reduceRight((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  return {
    // Text and its ground, those below `least` only. The window must be as high as the page.
    contrast(least) {
      const bad = [], seen = new Set();
      let count = 0;
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        const node = walker.currentNode, e = node.parentElement;
        if (!node.data.trim() || e.closest('script,style,title,desc,.vh,.skip:not(:focus)') || !shown(e)) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        const box = range.getClientRects()[0];
        if (!box || box.width < 1) continue;
        const style = getComputedStyle(e), svg = e instanceof SVGElement;
        const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
        if (!document.elementsFromPoint(x, y).includes(e)) continue; // in the part of a table that is scrolled away
        count += 1;
        const below = ground(e, x, y), ink = rgba(svg ? style.fill : style.color);
        ink[3] *= Number(style.opacity);
        const value = ratio(over(ink, below), below);
        const line = `${value.toFixed(2)} ${path(e).slice(-90)} ink ${ink} on ${below.slice(0, 3).map(Math.round)}: ${node.data.trim().slice(0, 30)}`;
        if (value < least && !seen.has(line)) { seen.add(line); bad.push(line); }
      }
      return { count, bad };
    },
    // Elements that stick out of the window and are not in a box that scrolls.
    wide() {
      const scrolls = e => {
        for (let p = e.parentElement; p; p = p.parentElement) {
          if (/auto|scroll/.test(getComputedStyle(p).overflowX)) return p.getBoundingClientRect().right <= innerWidth + 0.5;
        }
        return false;
      };
      const out = [...document.body.querySelectorAll('*')].filter(e =>
        shown(e) && !e.closest('.vh,.skip') && e.getBoundingClientRect().right > innerWidth + 0.5 && !scrolls(e));
      return { page: document.scrollingElement.scrollWidth, window: innerWidth, out: out.map(path) };
    },
    // Tables wider than the paper, and tables in a box that hides what does not fit.
    cut(width) {
      return [...document.querySelectorAll('table')].filter(shown).map(t => {
        const box = t.getBoundingClientRect(), around = t.parentElement;
        const hidden = /auto|scroll|hidden|clip/.test(getComputedStyle(around).overflowX) && around.scrollWidth > around.clientWidth;
        return box.right > width + 0.5 || hidden ? `${path(t)}: ends at ${Math.round(box.right)} of ${width}` : '';
      }).filter(Boolean);
    },
    // What Tab should visit, in the order of the document.
    stops() {
      return [...document.querySelectorAll('a[href],button,summary,input,select,textarea,[tabindex="0"]')].filter(shown);
    },
    // Where the focus is: place among the stops, and what shows it.
    focus() {
      const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
      const inside = box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
      return {
        at: ask.stops().indexOf(e), what: path(e), inside: inside && box.width > 0,
        ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
        ratio: ratio(rgba(style.outlineColor), rgba(getComputedStyle(document.body).backgroundColor)),
      };
    },
    // Headings of a table with a button, and for each row group the values of a column (null = missing).
    heads: table => [...document.querySelectorAll(`${table} thead button`)].map(b => b.textContent.trim()),
    sorted: table => [...document.querySelectorAll(`${table} thead th`)].map(th => th.getAttribute('aria-sort')).filter(Boolean),
    column(table, at) {
      return [...document.querySelectorAll(`${table} tbody`)].map(body =>
        [...body.rows].filter(r => !r.classList.contains('group')).map(r => {
          const cell = r.cells[at];
          return cell.classList.contains('missing') ? null : cell.dataset.v ? Number(cell.dataset.v) : cell.textContent;
        }));
    },
    unfold() { document.querySelectorAll('details').forEach(d => { d.open = true; }); },
    height: () => document.documentElement.scrollHeight,
  };
})();
