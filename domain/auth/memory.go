package auth

import (
	"container/list"
	"slices"
	"sync"
)

// maxEntries limits each of the memories of this file, to some 10 MiB.
const maxEntries = 65_536

// maxSources is the number of sources that knownSources remembers of one account.
const maxSources = 8

// knownSources remembers from which sources accounts have signed in: the newest 8 sources of each account, and
// the newest 65,536 pairs in all. It lives as long as the process. The zero value is empty.
type knownSources struct {
	mu        sync.Mutex
	pairs     list.List // of pair; the one that signed in last is at the back
	elements  map[pair]*list.Element
	byAccount map[string][]string // the sources of an account, in the same order
}

// pair is an account and a source from which it has signed in.
type pair struct{ account, source string }

func (k *knownSources) has(account, source string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, known := k.elements[pair{account, source}]
	return known
}

func (k *knownSources) add(account, source string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.elements == nil {
		k.elements, k.byAccount = map[pair]*list.Element{}, map[string][]string{}
	}
	p := pair{account, source}
	k.forget(p) // it becomes the newest
	k.elements[p] = k.pairs.PushBack(p)
	k.byAccount[account] = append(k.byAccount[account], source)
	if sources := k.byAccount[account]; len(sources) > maxSources {
		k.forget(pair{account, sources[0]})
	}
	if k.pairs.Len() > maxEntries {
		k.forget(k.pairs.Front().Value.(pair))
	}
}

func (k *knownSources) forget(p pair) {
	element, known := k.elements[p]
	if !known {
		return
	}
	k.pairs.Remove(element)
	delete(k.elements, p)
	sources := k.byAccount[p.account]
	i := slices.Index(sources, p.source)
	if sources = slices.Delete(sources, i, i+1); len(sources) > 0 {
		k.byAccount[p.account] = sources
	} else {
		delete(k.byAccount, p.account)
	}
}

// accountIDs remembers the ids of accounts, so that a sign-in that is refused without a read has a subject in
// the audit log. It is emptied when it is full. The zero value is empty.
type accountIDs struct {
	mu  sync.Mutex
	ids map[string]string
}

// of returns the id of the account, or "" if it is not known.
func (a *accountIDs) of(account string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ids[account]
}

func (a *accountIDs) add(account, id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ids == nil || len(a.ids) >= maxEntries {
		a.ids = map[string]string{}
	}
	a.ids[account] = id
}
