// Light or dark: as the system is set, unless chosen here.

const KEY = "quadfollow-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function stored() {
  try {
    return localStorage.getItem(KEY) ?? "auto";
  } catch {
    return "auto"; // storage may be forbidden
  }
}

export function startTheme(select, changed) {
  const apply = () => {
    const dark = select.value === "dark" || (select.value === "auto" && system.matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    changed();
  };
  select.value = stored();
  select.onchange = () => {
    try {
      localStorage.setItem(KEY, select.value);
    } catch {
      // then it holds until the page is closed
    }
    apply();
  };
  system.onchange = apply;
  apply();
}
