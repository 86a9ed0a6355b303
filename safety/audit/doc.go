// Package audit keeps the trail: what was found and what was done, in a file
// that tells when somebody altered it.
//
//	event ─► pseudonyms ─► one line of JSON ─► file, synced
//	                           │
//	                 hash = SHA-256(hash before ‖ line's event)
//
// A [Trail] is a [safety.Auditor]:
//
//	trail, err := audit.Open("/var/lib/gateway/audit.jsonl", audit.Options{Key: key})
//	if err != nil {
//		return err
//	}
//	defer trail.Close()
//	go trail.Run(ctx) // syncs once a second, and tries again after a failure
//	guard := &safety.Guard{Inspector: detector, Auditor: trail}
//
// What it holds: times, routes, severities, categories, rules, what was done,
// and pseudonyms. No text, no names. A pseudonym is a keyed hash: with the same
// key the same person has the same pseudonym, and without the key nobody can
// find out by trying whose it is. Keep the key elsewhere than the trail.
//
// What can be lost: events below high that were written in the second before a
// machine lost power; events below high while the disk refuses to be written
// to; and of the graver ones, which then wait in memory, those that did not fit
// and those that waited when the process ended. The former two are counted in a
// record of kind "gap" as soon as there is a disk again.
//
// What the chain shows: an event that was changed, inserted, removed or moved.
// What it cannot show by itself: that the last events are missing. Note down
// [Trail.Last] elsewhere from time to time, and compare it with what [Verify]
// says of the file.
package audit
