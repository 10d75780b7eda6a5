// Build elements from text, never from HTML.

export const $ = (id) => document.getElementById(id);

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export function shape(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export const percent = (share) => `${Math.round(share * 100)} %`;
export const plain = (name) => name.replace(/^(GENDER_VALUE|MOOD_LABEL|REASON|DEPLOYMENT_MODE)_/, "").toLowerCase().replaceAll("_", " ");
