// Small steps on the document. Text is written only where it changed, so that what a screen reader is at stays put.
export const $ = id => document.getElementById(id);

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function element(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role") node.setAttribute(key, value);
    else node[key] = value;
  }
  node.append(...children);
  return node;
}

// Makes a table's body show these rows, each an array of cells: a text, or a node that is kept while its key stays.
export function setRows(body, rows, numeric) {
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((cells, r) => {
    const row = body.rows[r] ?? body.insertRow();
    cells.forEach((cell, c) => {
      if (!row.cells[c]) {
        const made = c === 0 ? element("th", { scope: "row" }) : element("td");
        if (numeric.has(c)) made.className = "n";
        row.append(made);
      }
      if (cell instanceof Node) {
        if (row.cells[c].firstChild?.isEqualNode(cell) !== true) row.cells[c].replaceChildren(cell);
      } else setText(row.cells[c], cell);
    });
  });
}
