// One stream of news a page. It is given up while nobody looks at the page, and taken up again where it was.

const HEARD_MS = 30000;

export function live(url, hear, after = "") {
  const line = document.getElementById("live");
  let source = null;
  let last = after;
  let timer = 0;

  function watch() {
    clearTimeout(timer);
    line.hidden = true;
    timer = setTimeout(() => trouble("no news for a while; trying again"), HEARD_MS);
  }

  function trouble(text) {
    line.textContent = text;
    line.hidden = false;
  }

  function open() {
    const place = new URL(url, location.href);
    if (last) place.searchParams.set("after", last);
    source = new EventSource(place);
    source.onopen = watch;
    source.onmessage = (message) => {
      if (message.lastEventId) last = message.lastEventId;
      watch();
      hear(JSON.parse(message.data));
    };
    source.addEventListener("trouble", (message) => trouble(JSON.parse(message.data)));
    source.onerror = () => trouble("the connection is lost; trying again");
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source?.close();
      source = null;
      clearTimeout(timer);
    } else if (!source) open();
  });
  if (!document.hidden) open();
}
