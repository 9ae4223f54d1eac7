const cards = [...document.querySelectorAll(".crop")];
const store = "review-" + document.body.dataset.run;
const words = { a: "accept", r: "reject" };
let steps = []; // [crop, word] of every decision, oldest first
let decided = {};
let current = 0;
try { steps = JSON.parse(localStorage.getItem(store)) || []; } catch { /* a page from a file may have no storage */ }
if (!Array.isArray(steps)) steps = Object.entries(steps); // as earlier versions of this page stored it

const show = () => {
  decided = Object.fromEntries(steps);
  for (const [number, card] of cards.entries()) {
    const word = decided[card.dataset.crop] || "";
    card.classList.toggle("current", number === current);
    card.dataset.decision = word;
    card.querySelector(".said").textContent = word ? word + "ed" : "not reviewed";
    for (const button of card.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", button.dataset.word === word);
    }
  }
  const count = cards.filter(card => card.dataset.decision).length;
  document.getElementById("count").textContent = count + " of " + cards.length + " reviewed";
  document.getElementById("save").disabled = count === 0;
};
const go = number => {
  current = Math.max(0, Math.min(cards.length - 1, number));
  show();
  cards[current].focus({ preventScroll: true });
  cards[current].scrollIntoView({ block: "start" });
};
const keep = () => {
  try { localStorage.setItem(store, JSON.stringify(steps)); } catch { /* kept until the page closes */ }
};
const decide = (number, word) => {
  steps.push([cards[number].dataset.crop, word]);
  keep();
  go(number + 1);
};
const undo = () => {
  const last = steps.pop();
  if (!last) return;
  keep();
  go(cards.findIndex(card => card.dataset.crop === last[0]));
};
const save = () => {
  const rows = cards.filter(card => decided[card.dataset.crop]).map(card => (
    { crop_id: card.dataset.crop, judgement: card.dataset.judgement, decision: decided[card.dataset.crop] }
  ));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(rows, null, 1)], { type: "application/json" }));
  link.download = "decisions-" + document.body.dataset.run + ".json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (words[key]) decide(current, words[key]);
  else if (key === "u") undo();
  else if (key === "s") { if (!document.getElementById("save").disabled) save(); }
  else if (key === "ArrowRight" || key === "ArrowDown") go(current + 1);
  else if (key === "ArrowLeft" || key === "ArrowUp") go(current - 1);
  else return;
  event.preventDefault();
});
document.getElementById("save").addEventListener("click", save);
for (const [number, card] of cards.entries()) {
  card.addEventListener("click", event => {
    const word = event.target.dataset.word;
    if (word) decide(number, word); else { current = number; show(); }
  });
}
show();
