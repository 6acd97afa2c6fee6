// Keys of the review: 1 to 4 are verdicts, 5 is none, arrows go on. Not while somebody types,
// and none but arrows while no picture is shown, or an error covers it.
const KEYS = {
  1: 'say-confirmed', 2: 'say-false-alarm', 3: 'say-missed', 4: 'say-wrong-kind',
  5: 'dismiss', ArrowLeft: 'go-back', ArrowRight: 'go-on',
};
const isSeen = () => {
  const picture = document.querySelector('#review img');
  return picture && picture.offsetParent !== null && !document.querySelector('#review .error');
};
addEventListener('keydown', (event) => {
  const held = event.ctrlKey || event.altKey || event.metaKey || event.repeat;
  const typing = event.target.closest?.('input, textarea, select, [contenteditable]');
  const button = document.getElementById(KEYS[event.key]);
  if (held || typing || !button || button.offsetParent === null) return;
  if (!event.key.startsWith('Arrow') && !isSeen()) return;
  event.preventDefault();
  button.click();
});
