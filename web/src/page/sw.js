// Keeps the page and what it has used of the model, so that it works without a network.
// BUILD stands before: its version, the files to keep at once, and those to keep when they are first used.

const CACHE = `soundstream-${BUILD.version}`;

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(BUILD.files)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const forget = async () => {
    for (const name of await caches.keys()) if (name.startsWith("soundstream-") && name !== CACHE) await caches.delete(name);
    await self.clients.claim();
  };
  event.waitUntil(forget());
});

async function answer(request) {
  const kept = await caches.match(request, { ignoreSearch: true });
  if (kept) return kept;
  const found = await fetch(request);
  const name = request.url.slice(self.registration.scope.length).replace(/[?#].*/, "");
  if (found.ok && BUILD.later.includes(decodeURIComponent(name))) {
    const cache = await caches.open(CACHE);
    await cache.put(request, found.clone());
  }
  return found;
}

self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET") event.respondWith(answer(event.request));
});
