// Keeps the page up to date. Without it, the page refreshes itself.
"use strict";
(() => {
  const lost = document.getElementById("lost");
  const known = new Map();
  let heard = Date.now();

  // Renews what has changed; what has the focus keeps it, and what is the same stays as it is.
  const renew = (id, html) => {
    const section = document.getElementById(id);
    if (!section || known.get(id) === html) return;
    known.set(id, html);
    const focus = section.contains(document.activeElement) ? document.activeElement.id : "";
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    // A headline that says the same is not read aloud again.
    const before = section.querySelector("[role=status]");
    const after = fresh.content.querySelector("[role=status]");
    if (before && after) {
      before.closest(".verdict").className = after.closest(".verdict").className;
      if (before.textContent !== after.textContent) before.textContent = after.textContent;
      before.closest("h1").nextElementSibling.replaceWith(after.closest("h1").nextElementSibling);
    } else {
      section.replaceChildren(fresh.content);
    }
    if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
  };

  const listen = () => {
    const events = new EventSource("/live");
    events.onmessage = (event) => {
      heard = Date.now();
      lost.hidden = true;
      document.body.classList.remove("stale");
      const now = JSON.parse(event.data);
      if (document.title !== now.title) document.title = now.title;
      document.getElementById("icon").setAttribute("href", now.icon);
      for (const [id, html] of Object.entries(now.sections)) renew(id, html);
    };
    events.onerror = () => {
      // The browser asks again by itself, unless it was refused.
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
    };
  };

  // A page that hears nothing must not look as if all were well.
  setInterval(() => {
    const silent = Math.round((Date.now() - heard) / 1000);
    if (silent < 6) return;
    lost.textContent = `This process has not answered for ${silent} s. What stands here is as old as that.`;
    lost.hidden = false;
    document.body.classList.add("stale");
  }, 1000);

  listen();
})();
