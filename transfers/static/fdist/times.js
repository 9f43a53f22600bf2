// Moments in the reader's own time zone. The server writes them in its own; a <time> keeps the whole moment in its title.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const pad = (number) => String(number).padStart(2, "0");

export function clock(date) {
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

export function day(date) {
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
}

export function ago(date, now = new Date()) {
  const seconds = Math.max(0, (now - date) / 1000);
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

// Today by the clock alone, other days with the date.
export function moment(date) {
  return day(date) === day(new Date()) ? clock(date) : `${day(date)} ${clock(date)}`;
}

function show(element) {
  const date = new Date(element.dateTime);
  const whole = `${day(date)} ${clock(date)}`;
  element.title = `${whole} ${zone} (${date.toISOString().replace(".000", "")})`;
  element.textContent = "ago" in element.dataset ? ago(date) : "clock" in element.dataset ? moment(date) : whole;
}

export function showTimes(root = document) {
  for (const element of root.querySelectorAll("time[datetime]")) show(element);
}

showTimes();
const note = document.getElementById("zone");
if (note) note.textContent = `Times are in ${zone}, by this browser.`;
setInterval(() => {
  for (const element of document.querySelectorAll("time[data-ago]")) show(element);
}, 10_000);
