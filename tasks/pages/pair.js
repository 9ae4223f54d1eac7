for (const slider of document.querySelectorAll(".pair input")) {
  const move = () => {
    slider.parentElement.style.setProperty("--split", slider.value + "%");
    slider.setAttribute("aria-valuetext", Math.round(slider.value) + " % " + slider.dataset.left);
  };
  slider.addEventListener("input", move);
  move(); // a browser may have restored the position from before a reload
}
