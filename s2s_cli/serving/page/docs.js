// The page on /docs: openapi.json as tables.

function made(name, text, ...children) {
  const element = document.createElement(name);
  element.textContent = text;
  element.append(...children);
  return element;
}

function typeOf(field) {
  if (field.anyOf) return field.anyOf.map(typeOf).join(" or ");
  if (field.type === "array") return `list of ${typeOf(field.items)}`;
  return field.type === "null" ? "null" : field.type;
}

function tableOf(schema) {
  const head = made("tr", "", ...["field", "type", "default", ""].map((name) => made("th", name)));
  const rows = Object.entries(schema.properties).map(([name, field]) => made("tr", "",
    made("td", "", made("code", name)),
    made("td", typeOf(field)),
    made("td", "default" in field ? JSON.stringify(field.default) : "needed"),
    made("td", field.description || "")));
  return made("table", "", head, ...rows);
}

const api = await (await fetch("/openapi.json")).json();
for (const [path, methods] of Object.entries(api.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const section = made("section", "", made("h2", `${method.toUpperCase()} ${path}`),
      made("p", operation.description || ""));
    const body = operation.requestBody?.content["application/json"];
    if (body) section.append(made("p", "A JSON object, or a form:"), tableOf(body.schema));
    document.getElementById("paths").append(section);
  }
}
