package jsapi

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// infoTimeout bounds one question for the counts of many subjects, which takes the server seconds.
const infoTimeout = 30 * time.Second

// metaVersion is the key under which a server puts its version into the metadata of each stream that it describes.
const metaVersion = "_nats.ver"

// Info is what a stream's leader says about the stream. Messages are counted, not read: those that are damaged on disk
// count too, as long as the server has its index.
type Info struct {
	First, Last uint64 // sequences; 0 and 0 where nothing was ever stored
	Messages    uint64
	Lost        int // sequences that the server itself knows to have lost
	Replicas    int
	Leader      string            // the name of the server that answered
	Version     string            // of that server; "" where it does not say
	Domain      string            // of JetStream; "" for none
	Created     time.Time         // when the stream was made; one made anew has another time
	Metadata    map[string]string // of the stream

	// Subjects has the number of messages on each subject that was asked for, of one page.
	Subjects map[string]uint64
	// Total is the number of such subjects on all pages, Limit how many a page has.
	Total, Limit int
}

// LeaderInfo asks a stream's leader for its state and, where filter is not "", for the number of messages on each subject
// that matches it, from the offset on in the order of the subjects. It returns jetstream.ErrStreamNotFound where there is
// no such stream.
func (c *Client) LeaderInfo(ctx context.Context, stream, filter string, offset int) (Info, error) {
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
	msg, err := c.Request(ctx, c.prefix+"STREAM.INFO."+stream, request, timeout)
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
		Created time.Time           `json:"created"`
		Config  struct {
			Replicas int               `json:"num_replicas"`
			Metadata map[string]string `json:"metadata"`
		} `json:"config"`
		Cluster *jetstream.ClusterInfo `json:"cluster"`
		State   struct {
			First    uint64            `json:"first_seq"`
			Last     uint64            `json:"last_seq"`
			Messages uint64            `json:"messages"`
			Subjects map[string]uint64 `json:"subjects"`
			Lost     *struct {
				Msgs []uint64 `json:"msgs"`
			} `json:"lost"`
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
	info := Info{
		First: reply.State.First, Last: reply.State.Last, Messages: reply.State.Messages, Replicas: reply.Config.Replicas,
		Leader: leader, Version: reply.Config.Metadata[metaVersion],
		Domain: reply.Domain, Created: reply.Created, Metadata: reply.Config.Metadata,
		Subjects: reply.State.Subjects, Total: reply.Total, Limit: reply.Limit,
	}
	if reply.State.Lost != nil {
		info.Lost = len(reply.State.Lost.Msgs)
	}
	return info, nil
}

// errNoLeader is what a server itself answers where a stream has no leader.
var errNoLeader = &jetstream.APIError{Code: 503, ErrorCode: codeClusterNotAvailable, Description: "the stream has no leader at the moment"}

// leaderOf gives the name of the leader that described a stream. When most replicas have been gone for ten seconds, one
// that is left describes the stream as it has it. It may lack what was acknowledged, and it names no leader.
func leaderOf(cluster *jetstream.ClusterInfo) (string, error) {
	switch {
	case cluster == nil:
		return "", nil
	case cluster.Leader == "":
		return "", errNoLeader
	}
	return cluster.Leader, nil
}
