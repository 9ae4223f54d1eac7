const table = document.querySelector("#images table");
if (table) {
  // A row is [name, output key or null, width, height, share of rain removed or null, why rejected or null,
  // what was dropped or null].
  const { base, rows } = JSON.parse(document.querySelector("#image-rows").textContent);
  const section = document.querySelector("#images");
  const [filter, order] = section.querySelectorAll("input, select");
  const [back, onwards] = section.querySelectorAll("button");
  const shown = section.querySelector("output");
  const PAGE = 50;
  const byChange = (a, b) => (b[4] ?? -1) - (a[4] ?? -1);
  const orders = {
    most: byChange,
    least: (a, b) => (a[4] ?? 2) - (b[4] ?? 2),
    name: (a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0),
  };
  let found = rows, first = 0;

  const element = (name, text, properties) => Object.assign(document.createElement(name), text === null ? {} : { textContent: text }, properties);
  const address = (key) => base + key.split("/").map(encodeURIComponent).join("/");
  const isViewable = (key) => base !== null && key !== null && /\.(jpe?g|png|webp|gif|bmp|avif)$/i.test(key);
  const percent = (share) => "rain removed: " + (share < 0.01 ? (100 * share).toFixed(1) : Math.round(100 * share)) + " %";

  const row = ([name, key, width, height, share, reason, dropped]) => {
    const line = document.createElement("tr"), picture = document.createElement("td"), title = element("th", null, { scope: "row" });
    const text = element("bdi", name, { className: "key" });
    if (isViewable(key)) {
      const link = element("a", null, { href: address(key), tabIndex: -1 });
      link.ariaHidden = "true";
      link.append(element("img", null, { loading: "lazy", decoding: "async", alt: "", src: address(key) }));
      picture.append(link);
      const named = element("a", null, { href: address(key) });
      named.append(text);
      title.append(named);
    } else title.append(text);
    const size = width ? width.toLocaleString("en") + " × " + height.toLocaleString("en") + " px" : "";
    const change = reason === null ? (share === null ? "" : percent(share)) : "rejected: " + reason;
    const note = dropped === null ? change : change + "; " + dropped;
    line.append(picture, title, element("td", size), element("td", note));
    return line;
  };
  const show = () => {
    const page = found.slice(first, first + PAGE);
    table.tBodies[0].replaceChildren(...page.map(row));
    shown.value = found.length ? `${(first + 1).toLocaleString("en")} to ${(first + page.length).toLocaleString("en")} of ${found.length.toLocaleString("en")}` : "none found";
    back.disabled = first === 0;
    onwards.disabled = first + PAGE >= found.length;
  };
  const find = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const holds = (r) => { const text = (r[0] + " " + (r[5] === null ? "" : "rejected: " + r[5]) + " " + (r[6] ?? "")).toLowerCase(); return words.every((word) => text.includes(word)); };
    found = rows.filter(holds).sort(orders[order.value]);
    first = 0;
    show();
  };
  filter.addEventListener("input", find);
  order.addEventListener("change", find);
  back.addEventListener("click", () => { first -= PAGE; show(); });
  onwards.addEventListener("click", () => { first += PAGE; show(); });
  find();
}
