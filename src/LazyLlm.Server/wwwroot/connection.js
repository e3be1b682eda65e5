// Requests to this server. A key, where one is needed, lives in this module's memory and nowhere else.
import { $, setText } from "./page.js";

let key = null;
let waiters = [];

export class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Asks, and where the server wants a key, waits until it has the right one.
export async function ask(path, options = {}) {
  for (;;) {
    const used = key;
    const response = await fetch(path, { ...options, headers: { ...options.headers, ...(used && { Authorization: `Bearer ${used}` }) }, cache: "no-store" });
    if (response.ok) {
      $("key").hidden = true;
      return response;
    }
    if (response.status !== 401) throw new ServerError(response.status, await messageOf(response));
    // Another request may have brought the right key meanwhile.
    if (key === used) await nextKey(used !== null);
  }
}

async function messageOf(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `The server answered ${response.status}.`;
  }
}

function nextKey(wasWrong) {
  setText($("key-problem"), wasWrong ? "This is not the server's key." : "");
  if ($("key").hidden) {
    $("key").hidden = false;
    $("key-text").focus();
  }
  return new Promise(resolve => waiters.push(resolve));
}

$("key").addEventListener("submit", event => {
  event.preventDefault();
  key = $("key-text").value.trim();
  $("key-text").value = "";
  waiters.splice(0).forEach(resolve => resolve());
});
