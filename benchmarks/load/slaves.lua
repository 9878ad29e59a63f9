-- Fetches the keys whose IDs come through a pipe; waits where none has come.
local pipe
function init(arguments)
  pipe = assert(io.open(arguments[1], "r"))
end
function request()
  local body = pipe:read("*l")
  if not body then return wrk.format("GET", "/") end
  return wrk.format("POST", nil, {["Content-Type"] = "application/json"}, body)
end
