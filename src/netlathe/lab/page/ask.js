// Questions to the server: the state goes as text, an answer or a mistake comes back.
export class Mistake extends Error {
  constructor(error) {
    super(error.message);
    Object.assign(this, error);
  }
}
export class Gone extends Error {}

async function answer(request) {
  let response;
  try {
    response = await request;
  } catch (error) {
    if (error.name === "AbortError") throw new Mistake({ message: "asked anew" });
    throw new Gone("the server does not answer");
  }
  if (response.status === 403) throw new Mistake({ message: await response.text(), hint: "" });
  if (!response.headers.get("content-type")?.includes("json")) throw new Mistake({ message: `the server answers ${response.status}` });
  const said = await response.json();
  if (said.error) throw new Mistake(said.error);
  return said;
}

export const ask = (what, state = "", signal = undefined) => answer(fetch(what, { method: "POST", body: state, signal }));
export const look = (what) => answer(fetch(what));
export const send = (file) => answer(fetch("upload?name=" + encodeURIComponent(file.name), { method: "POST", body: file }));
export const alive = () => fetch("alive").then((r) => r.ok, () => false);
