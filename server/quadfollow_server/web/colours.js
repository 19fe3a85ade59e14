// Colours stand in style.css alone; canvases ask for them by name.

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// The red, green and blue of a colour written #rrggbb.
export const channels = (name) => [1, 3, 5].map((at) => parseInt(colour(name).slice(at, at + 2), 16));
