// What overlaps, is clipped, or sticks out, as a list of sentences.
() => {
  const bad = [];
  const shown = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getBoundingClientRect().width > 0;
  const said = (e) => `${e.tagName.toLowerCase()} "${e.textContent.trim().replace(/\s+/g, " ").slice(0, 30)}"`;
  const scrolls = (e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
  const inScroller = (e) => e.parentElement.closest(".scroll, .equation, .view, pre");

  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (wide > 0) bad.push(`the page is ${wide} px wider than the window`);

  const all = "h1, h2, h3, p, a, button, label, select, input, summary, pre, figure, figcaption, table, dl, li, canvas, .equation, .legend, .scroll";
  for (const e of document.querySelectorAll(all)) {
    if (!shown(e) || e.closest(".unseen, .skip") || inScroller(e)) continue;
    const box = e.getBoundingClientRect();
    if (box.left < -1 || box.right > innerWidth + 1) bad.push(`${said(e)} sticks out`);
    const inline = getComputedStyle(e).display === "inline";
    if (!inline && !scrolls(e) && e.clientWidth && e.scrollWidth > e.clientWidth + 1) bad.push(`${said(e)} is clipped`);
  }

  const groups = ["#player > *", "header > *", "#view, .below > *", "#step .explained > *, #step figure, #chosen .head, #chosen .go > *, #chosen figure", "#steps li"];
  for (const group of groups) {
    const blocks = [...document.querySelectorAll(group)].filter(shown);
    for (const [i, a] of blocks.entries()) {
      for (const b of blocks.slice(i + 1)) {
        if (a.contains(b) || b.contains(a)) continue;
        const [r, q] = [a.getBoundingClientRect(), b.getBoundingClientRect()];
        const across = Math.min(r.right, q.right) - Math.max(r.left, q.left);
        const down = Math.min(r.bottom, q.bottom) - Math.max(r.top, q.top);
        if (across > 1 && down > 1) bad.push(`${said(a)} overlaps ${said(b)}`);
      }
    }
  }

  // What the step fills is in the frame (as far as it fits), and its words are large enough to read.
  const frame = document.getElementById("view").getBoundingClientRect();
  const end = Math.min(frame.bottom, innerHeight);
  const target = document.querySelector(".view .target");
  if (target) {
    const box = target.getBoundingClientRect();
    if (box.width <= frame.width && (box.left < frame.left - 1 || box.right > frame.right + 1)) bad.push("the target is out of sight");
    if (box.height <= end - frame.top && (box.top < frame.top - 1 || box.bottom > end + 1)) bad.push("the target is out of sight");
    const name = target.querySelector('text[font-weight="bold"]').getBoundingClientRect();
    if (name.height < 11) bad.push(`the target's name is ${name.height.toFixed(1)} px high`);
  }
  return bad;
}
