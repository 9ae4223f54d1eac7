for (const button of document.querySelectorAll("button.enlarge")) {
  button.addEventListener("click", () => {
    const figure = button.closest("figure");
    button.setAttribute("aria-pressed", figure.classList.toggle("large"));
    figure.scrollIntoView({ block: "nearest" });
  });
}
