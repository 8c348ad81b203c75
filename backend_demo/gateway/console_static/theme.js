// Sets the theme before anything is painted; a classic script, since modules run later.
(() => {
  let kept = null;
  try {
    kept = localStorage.getItem("bdemo.theme");
  } catch {
    // no storage: use the system's theme
  }
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = kept ?? (dark ? "dark" : "light");
})();
