package jsapi

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// infoTimeout bounds one question for the counts of many subjects, which takes the server seconds.
const infoTimeout = 30 * time.Second

// metaVersion is the key under which a server puts its version into the metadata of each stream that it describes.
const metaVersion = "_nats.ver"

// Info is the description of a stream by its leader. Messages are counted, not read. So messages that are
// damaged on disk count as well, as long as the server has its index.
type Info struct {
	Last     uint64 // sequence; 0 if nothing was ever stored
	Messages uint64
	Replicas int
	Leader   string            // the name of the server that answered
	Heard    time.Duration     // since a majority of the replicas last answered that server
	Version  string            // of that server; "" if it does not say
	Domain   string            // of JetStream; "" for none
	Time     time.Time         // by the clock of that server
	Created  time.Time         // when the stream was made; a stream made anew has another time
	Metadata map[string]string // of the stream

	// Subjects has the number of messages on each requested subject of one page.
	Subjects map[string]uint64
	// Total is the number of such subjects on all pages, and Limit the number of subjects on a page.
	Total, Limit int

	reply []byte
}

// Settings reads the stream's settings, which most callers do not need.
func (i Info) Settings() (jetstream.StreamConfig, error) {
	var reply struct {
		Config jetstream.StreamConfig `json:"config"`
	}
	err := json.Unmarshal(i.reply, &reply)
	return reply.Config, err
}

// LeaderInfo asks a stream's leader for its state. If filter is not "", it also asks for the number of messages
// on each subject that matches it, from the offset on in the order of the subjects. It returns
// jetstream.ErrStreamNotFound if the stream does not exist.
func (r *requests) LeaderInfo(ctx context.Context, stream, filter string, offset int) (Info, error) {
	request, err := json.Marshal(struct {
		Filter string `json:"subjects_filter,omitempty"`
		Offset int    `json:"offset,omitempty"`
	}{filter, offset})
	if err != nil {
		return Info{}, err
	}
	timeout := getTimeout
	if strings.Contains(filter, "*") {
		timeout = infoTimeout
	}
	msg, err := r.Request(ctx, r.prefix+"STREAM.INFO."+stream, request, timeout)
	if err != nil {
		return Info{}, err
	}
	if msg.Header.Get("Status") == "503" {
		return Info{}, nats.ErrNoResponders
	}
	return readInfo(msg.Data)
}

func readInfo(data []byte) (Info, error) {
	var reply struct {
		Error   *jetstream.APIError `json:"error"`
		Total   int                 `json:"total"`
		Limit   int                 `json:"limit"`
		Domain  string              `json:"domain"`
		Time    time.Time           `json:"ts"`
		Created time.Time           `json:"created"`
		Config  struct {
			Replicas int               `json:"num_replicas"`
			Metadata map[string]string `json:"metadata"`
		} `json:"config"`
		Cluster *jetstream.ClusterInfo `json:"cluster"`
		State   struct {
			Last     uint64            `json:"last_seq"`
			Messages uint64            `json:"messages"`
			Subjects map[string]uint64 `json:"subjects"`
		} `json:"state"`
	}
	if err := json.Unmarshal(data, &reply); err != nil {
		return Info{}, fmt.Errorf("unreadable reply from the leader: %w", err)
	}
	switch {
	case reply.Error == nil:
	case reply.Error.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return Info{}, jetstream.ErrStreamNotFound
	default:
		return Info{}, reply.Error
	}
	leader, err := leaderOf(reply.Cluster)
	if err != nil {
		return Info{}, err
	}
	return Info{
		Last: reply.State.Last, Messages: reply.State.Messages, Replicas: reply.Config.Replicas,
		Leader: leader, Heard: heard(reply.Cluster), Version: reply.Config.Metadata[metaVersion],
		Domain: reply.Domain, Time: reply.Time, Created: reply.Created, Metadata: reply.Config.Metadata,
		Subjects: reply.State.Subjects, Total: reply.Total, Limit: reply.Limit,
		reply: data,
	}, nil
}

// never is what heard returns if the server hears no majority.
const never = time.Duration(math.MaxInt64)

// heard returns how long ago a majority of the replicas, the leader among them, was last heard of by the leader that
// described a stream. A server alone has no other replicas.
func heard(cluster *jetstream.ClusterInfo) time.Duration {
	if cluster == nil || len(cluster.Replicas) == 0 {
		return 0
	}
	var ago []time.Duration
	for _, replica := range cluster.Replicas {
		if replica.Offline {
			replica.Active = never
		}
		ago = append(ago, replica.Active)
	}
	slices.Sort(ago)
	majority := (len(ago)+1)/2 + 1
	return ago[majority-2]
}

// errNoLeader is the answer of a server for a stream without a leader.
var errNoLeader = &jetstream.APIError{Code: 503, ErrorCode: codeClusterNotAvailable, Description: "the stream has no leader at the moment"}

// leaderOf returns the name of the leader that described a stream. When most replicas have been gone for ten
// seconds, a replica that is left describes its own copy. The copy may lack acknowledged messages, and the
// description names no leader.
func leaderOf(cluster *jetstream.ClusterInfo) (string, error) {
	switch {
	case cluster == nil:
		return "", nil
	case cluster.Leader == "":
		return "", errNoLeader
	}
	return cluster.Leader, nil
}
