//go:build linux && (amd64 || arm64)

package natsrun

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKernelsThatTellOfFailedWrites(t *testing.T) {
	for release, tells := range map[string]bool{
		"6.18.44-fc": true, "5.8.0": true, "5.10": true, "10.0.1": true, "6.1-rc1": true,
		"5.7.19": false, "4.19.0-27-amd64": false, "": false, "six": false, "5": false,
	} {
		require.Equal(t, tells, reportsFailures(release), release)
	}
}

func TestFileSystemsThatAreTrusted(t *testing.T) {
	for kind, trusted := range map[int64]bool{
		0xEF53: true, 0x58465342: true, 0x9123683E: true, // ext4, XFS, Btrfs
		0x6969: false, 0x794C7630: false, 0x01021994: false, 0x65735546: false, // NFS, overlayfs, tmpfs, FUSE
	} {
		require.Equal(t, trusted, reachesDisk(syscall.Statfs_t{Type: kind}), "%#x", kind)
	}
}
