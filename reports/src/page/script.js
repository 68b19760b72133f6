'use strict';
(() => {
  const live = document.getElementById('live');
  // Sorting: a button in every column heading, in column order; groups of rows are sorted each for itself.
  for (const table of document.querySelectorAll('.fb-table table')) {
    const rows = [...table.tHead.rows], last = rows.length - 1;
    const own = last ? [...rows[1].cells] : [], heads = [];
    for (const th of rows[0].cells) {
      if (!last || th.rowSpan > 1) heads.push(th); else heads.push(...own.splice(0, th.colSpan));
    }
    heads.forEach((th, at) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.append(...th.childNodes);
      th.append(button);
      button.addEventListener('click', () => {
        const down = th.getAttribute('aria-sort')
          ? th.getAttribute('aria-sort') === 'ascending'
          : th.dataset.better === 'up';
        heads.forEach(h => h.removeAttribute('aria-sort'));
        th.setAttribute('aria-sort', down ? 'descending' : 'ascending');
        for (const body of table.tBodies) {
          const data = [...body.rows].filter(r => !r.classList.contains('group'));
          const value = r => r.cells[at].dataset.v ?? r.cells[at].textContent;
          data.sort((a, b) => {
            const x = value(a), y = value(b), n = x - y;
            if (r(a) !== r(b)) return r(a) ? 1 : -1;
            return (down ? -1 : 1) * (Number.isNaN(n) ? x.localeCompare(y) : n);
          });
          body.append(...data);
        }
        live.textContent = `sorted by ${button.textContent.trim()}, ${down ? 'descending' : 'ascending'}`;
        function r(row) { return row.cells[at].classList.contains('missing'); }
      });
    });
  }
  for (const line of document.querySelectorAll('.command')) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = 'Copy';
    button.addEventListener('click', async () => {
      const code = line.querySelector('code');
      try {
        await navigator.clipboard.writeText(code.textContent);
        live.textContent = button.textContent = 'Copied';
      } catch {
        getSelection().selectAllChildren(code);
        live.textContent = button.textContent = 'Selected';
      }
    });
    line.append(button);
  }
})();
