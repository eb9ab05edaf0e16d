// Where things stand in the two pictures. Pure geometry: numbers in, numbers out.

export const WIDTH = 1000;

const RING_MOST = 12; // more cards than these stand in rows
const CARD = { width: 190, height: 112 };
const GAP = 18;

/** Places of node cards: {places: [{x, y, width, height}], height, ring}; x and y are the middle of a card. */
export function nodePlaces(count) {
  if (count > RING_MOST) return rows(count, Math.min(7, Math.ceil(Math.sqrt(count * 1.3))), 92);
  const height = count <= 5 ? 480 : 620;
  const center = { x: WIDTH / 2, y: height / 2 };
  const radius = {
    x: count <= 1 ? 0 : count === 2 ? 260 : WIDTH / 2 - CARD.width / 2 - GAP,
    y: count <= 2 ? 0 : height / 2 - CARD.height / 2 - GAP,
  };
  const start = count === 2 ? Math.PI : -Math.PI / 2;
  const places = ring(count, center, radius, start).map((place) => ({ ...place, ...CARD }));
  return { ...cropped(places, CARD.height / 2 + GAP), ring: true };
}

/** Places of network discs: {places: [{x, y}], height, radius}; those of `inner` come first and stand in the middle. */
export function networkPlaces(inner, outer) {
  if (inner + outer > 18) {
    const grid = rows(inner + outer, Math.ceil(Math.sqrt((inner + outer) * 1.6)), 130);
    return { places: grid.places, height: grid.height, radius: 40 };
  }
  const height = outer <= 2 ? 420 : outer <= 8 ? 700 : 860;
  const radius = outer > 10 ? 58 : 70;
  const center = { x: WIDTH / 2, y: height / 2 };
  const middle = row(inner, center, radius * 2 + 40);
  const around = ring(
    outer,
    center,
    { x: WIDTH / 2 - radius - 60, y: outer <= 2 ? 0 : height / 2 - radius - 34 },
    outer === 2 ? Math.PI : -Math.PI / 2,
  );
  return { ...cropped([...middle, ...around], radius + 24), radius };
}

/** Take away what is empty above and below: a ring of three does not fill its height. */
function cropped(places, margin) {
  const heights = places.map((place) => place.y);
  const first = Math.min(...heights) - margin;
  const height = Math.max(...heights) + margin - first;
  return { places: places.map((place) => ({ ...place, y: place.y - first })), height: places.length ? height : 120 };
}

function ring(count, center, radius, start) {
  return Array.from({ length: count }, (_, index) => {
    const angle = start + (2 * Math.PI * index) / count;
    return { x: center.x + radius.x * Math.cos(angle), y: center.y + radius.y * Math.sin(angle) };
  });
}

function row(count, center, distance) {
  const first = center.x - ((count - 1) * distance) / 2;
  return Array.from({ length: count }, (_, index) => ({ x: first + index * distance, y: center.y }));
}

function rows(count, columns, height) {
  const width = (WIDTH - GAP * (columns + 1)) / columns;
  const places = Array.from({ length: count }, (_, index) => ({
    x: GAP + width / 2 + (index % columns) * (width + GAP),
    y: GAP + height / 2 + Math.floor(index / columns) * (height + GAP),
    width,
    height,
  }));
  return { places, height: GAP + Math.ceil(count / columns) * (height + GAP), ring: false };
}
