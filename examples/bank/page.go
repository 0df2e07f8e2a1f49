package main

import (
	"embed"
	"net/http"
)

// page holds the page's files. They ask no other server for anything.
//
//go:embed page
var page embed.FS

// pageFile answers with one of the page's files.
func pageFile(name string) endpoint {
	return func(w http.ResponseWriter, r *http.Request) error {
		http.ServeFileFS(w, r, page, "page/"+name)
		return nil
	}
}
