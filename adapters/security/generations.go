package security

// generations is a map that forgets. Its user writes into the young generation, and calls age when that is
// full: then the old generation is dropped, and the young one becomes old. So an entry stays at least until
// max other keys were set. The zero value of young and old is ready.
type generations[K comparable, V any] struct {
	max        int // of each generation
	young, old map[K]V
}

func (g *generations[K, V]) full() bool { return len(g.young) >= g.max }

func (g *generations[K, V]) age() { g.young, g.old = nil, g.young }

func (g *generations[K, V]) get(k K) (V, bool) {
	if v, ok := g.young[k]; ok {
		return v, true
	}
	v, ok := g.old[k]
	return v, ok
}

func (g *generations[K, V]) set(k K, v V) {
	if g.young == nil {
		g.young = map[K]V{}
	}
	delete(g.old, k)
	g.young[k] = v
}

func (g *generations[K, V]) forget(k K) {
	delete(g.old, k)
	delete(g.young, k)
}
