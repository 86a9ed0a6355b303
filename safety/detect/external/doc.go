// Package external asks a second opinion of a moderation service, beside the
// detector that runs in the process. Nothing is sent unless a program puts a
// [Second] around its inspector.
//
//	in := &external.Second{
//		First:      detect.Default(),
//		Classifier: &external.Moderations{URL: "https://moderation.example/v1/moderations", Key: key},
//	}
//
// The local verdict stands first and alone: a second opinion may raise it at
// once; it may lower it only from low or moderate, and only where the host says
// so; and when the service is slow, wrong or down, the local verdict is left as
// it is. Text leaves the process, so ask whom it belongs to before you use it.
package external
