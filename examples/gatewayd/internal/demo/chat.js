"use strict";

// A small client of the TTA chat protocol: log in over HTTP, talk over /ws/chat of the same origin.
const $ = (id) => document.getElementById(id);
let token = "", session = "", socket = null, tries = 0, lastPong = 0, beat = 0, waiting = [];

const offer = () => {
  const chosen = $("account").selectedOptions[0];
  $("username").value = chosen.value;
  $("password").value = chosen.dataset.password || "";
};
$("account").addEventListener("change", offer);
offer();

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("login-error").textContent = "";
  const button = event.target.querySelector("button");
  button.disabled = true;
  try {
    const reply = await fetch("/api/v1/auth/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ username: $("username").value, password: $("password").value }),
    });
    const body = await reply.json();
    if (!reply.ok) throw new Error(typeof body.message === "string" ? body.message : "HTTP " + reply.status);
    token = body.access_token;
    $("login").hidden = true;
    $("chat").hidden = false;
    connect();
    $("said").focus();
  } catch (failure) {
    $("login-error").textContent = failure.message;
  } finally {
    button.disabled = false;
  }
});

function connect() {
  const address = new URL("/ws/chat", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  address.searchParams.set("token", token);
  address.searchParams.set("typing", "1");
  state("Connecting");
  socket = new WebSocket(address);
  socket.onopen = () => {
    tries = 0;
    lastPong = Date.now();
    state("Connected");
    clearInterval(beat);
    beat = setInterval(ping, 30000);
    for (const message of waiting.splice(0)) transmit(message);
  };
  socket.onmessage = (event) => hear(event.data);
  socket.onclose = (event) => closed(event);
}

// 1000 and 1008 are meant; everything else is worth another try, later each time.
function closed(event) {
  clearInterval(beat);
  working("");
  if (event.code === 1000 || event.code === 1008) {
    token = "";
    state("Not connected");
    $("chat").hidden = true;
    $("login").hidden = false;
    $("login-error").textContent = event.code === 1008 ? "Please log in again." : "";
    return;
  }
  if (tries >= 10) {
    state("The connection is lost. Reload the page to try again.");
    return;
  }
  const pause = Math.min(30000, 1000 * 2 ** tries++) * (0.75 + Math.random() / 2);
  state("Connection interrupted, trying again");
  setTimeout(connect, pause);
}

function ping() {
  if (Date.now() - lastPong > 60000) {
    socket.close(4000, "no pong");
    return;
  }
  socket.send(JSON.stringify({ type: "ping", timestamp: Date.now() }));
}

function transmit(message) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  else if (waiting.length < 20) waiting.push(message);
}

function send(type, content) {
  transmit({ type, session_id: session || undefined, content, timestamp: new Date().toISOString() });
}

function hear(data) {
  let frame;
  try {
    frame = JSON.parse(data);
  } catch {
    return;
  }
  lastPong = Date.now();
  if (!frame || frame.type === "pong") return;
  if (frame.session_id) session = frame.session_id;
  const content = frame.content || {};
  if (content.event === "progress") return working(content.stage === "complete" ? "" : content.message);
  if (content.event) return;
  working("");
  show(frame, content);
}

function show(frame, content) {
  const crisis = Boolean(frame.metadata && frame.metadata.safety && frame.metadata.safety.crisis);
  const box = element("div", "message " + (crisis ? "help" : frame.role));
  if (crisis) box.setAttribute("role", "alert");
  if (content.text) box.append(element("p", "", content.text));
  const places = resources(frame, content);
  if (places.children.length) box.append(places);
  const choices = buttons(content.elements || []);
  if (choices.children.length) box.append(choices);
  for (const item of content.elements || []) {
    if (["instruction", "progress", "ack", "recommendation"].includes(item.type)) box.append(element("p", "", item.label));
  }
  if (box.children.length) append(box);
}

// Resources come as elements, or as a list of names and addresses beside the content.
function resources(frame, content) {
  const list = element("ul", "");
  const found = (content.elements || []).filter((item) => item.type === "resource");
  for (const item of found) list.append(resource(item.label, item.info, item.method));
  if (!found.length) for (const item of frame.crisis_resources || []) list.append(resource(item.name, item.url, "website"));
  return list;
}

function resource(name, info, method) {
  const item = element("li", "", name + (info ? ": " : ""));
  if (!info) return item;
  const digits = String(info).replace(/[^0-9+]/g, "");
  const schemes = { phone: "tel:" + digits, text: "sms:" + digits };
  const address = /^(https?:|tel:|sms:)/i.test(info) ? info : schemes[method];
  if (!address || /:$/.test(address)) {
    item.append(info);
    return item;
  }
  const link = element("a", "", info);
  link.href = address;
  link.rel = "noopener noreferrer";
  if (/^http/i.test(address)) link.target = "_blank";
  item.append(link);
  return item;
}

function buttons(elements) {
  const row = element("div", "choices");
  for (const item of elements) {
    if (item.type !== "button") continue;
    const button = element("button", "", item.label);
    button.type = "button";
    button.addEventListener("click", () => {
      append(element("div", "message user", item.label));
      send("interaction", { action: "button_click", id: item.id });
      $("said").focus();
    });
    row.append(button);
  }
  return row;
}

$("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("said").value.trim();
  if (!text) return;
  $("said").value = "";
  append(element("div", "message user", text));
  send("user_message", { text });
});
$("said").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("compose").requestSubmit();
});

function append(box) {
  const log = $("log");
  log.append(box);
  while (log.children.length > 300) log.firstChild.remove();
  log.scrollTop = log.scrollHeight;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

const state = (text) => { $("state").textContent = text; };
const working = (text) => { $("working").textContent = text ? text + "…" : ""; };
