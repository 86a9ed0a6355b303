package metrics

import "github.com/prometheus/client_golang/prometheus"

// way is how text went through the gateway, in the caller's words. These events come with every message, so what they count into is
// looked up once for each way.
type way struct{ route, direction, transport, reason string }

// traffic counts messages and their bytes on one way.
type traffic struct{ messages, bytes prometheus.Counter }

// add counts one message. A size below zero, which none has, would be a step back that a counter must not make.
func (t traffic) add(bytes int64) {
	t.messages.Inc()
	t.bytes.Add(float64(max(0, bytes)))
}

func (m *Metrics) relayedOn(w way) traffic {
	return m.traffic(m.messages, m.messageBytes, m.words.endpoint.take(w.route), m.words.direction.take(w.direction))
}

func (m *Metrics) inspectedOn(w way) traffic {
	return m.traffic(m.inspectedMessages, m.inspectedBytes,
		m.words.endpoint.take(w.route), m.words.direction.take(w.direction), m.words.transport.take(w.transport))
}

func (m *Metrics) skippedOn(w way) traffic {
	return m.traffic(m.skippedMessages, m.skippedBytes,
		m.words.endpoint.take(w.route), m.words.direction.take(w.direction), m.words.transport.take(w.transport), m.words.reason.take(w.reason))
}

func (m *Metrics) traffic(messages, bytes *prometheus.CounterVec, labels ...string) traffic {
	return traffic{messages.WithLabelValues(labels...), bytes.WithLabelValues(labels...)}
}
