// Sets the chosen colours before the first paint; for that it is no module.
{
  const chosen = localStorage.getItem("lotse.theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
}
