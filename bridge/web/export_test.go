package web

// Reasons is how many reasons there are words for.
func Reasons() int { return len(words) }
