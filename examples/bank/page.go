package main

import (
	"embed"
	"net/http"
)

// page holds the files of the page. They load nothing from other servers.
//
//go:embed page
var page embed.FS

// pageFile returns the endpoint of one file of the page.
func pageFile(name string) endpoint {
	return func(w http.ResponseWriter, r *http.Request) error {
		http.ServeFileFS(w, r, page, "page/"+name)
		return nil
	}
}
