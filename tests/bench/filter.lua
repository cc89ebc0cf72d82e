-- The sidecar's work in front of Feast, done by nginx and Lua: compare's peer `nginx-lua`. luaossl verifies, cjson reads and writes.
-- Numbers come out with 14 digits, which is enough for what compare sends.
local base64, json = require("ngx.base64"), require("cjson.safe")
local digests, keys = require("openssl.digest"), require("openssl.pkey")
local hooks, settings, key = {}, nil, nil

-- init_by_lua. The file is JSON: `key` in PEM, `issuer`, `audience`, and `denied`, the names that readers may not have.
function hooks.read(path)
  local file = assert(io.open(path))
  settings = assert(json.decode((file:read("*a"))))
  file:close()
  key = keys.new(settings.key)
  for _, name in ipairs(settings.denied) do
    settings.denied[name] = true
  end
end

-- An object in base64url; an empty one where it is none.
local function object(text)
  local found = json.decode(base64.decode_base64url(text or "") or "")
  return type(found) == "table" and found or {}
end

-- The groups of a token that counts, each as a key; else nothing.
local function groups_of(authorization)
  local signed, signature = string.match(authorization or "", "^Bearer (.+)%.(.*)$")
  signature = signature and base64.decode_base64url(signature)
  if not signature then
    return nil
  end
  local dot = signed:find(".", 1, true)
  if not dot or object(signed:sub(1, dot - 1)).alg ~= "RS256" then
    return nil
  end
  local ran, holds = pcall(key.verify, key, signature, digests.new("sha256"):update(signed))
  local claims = object(signed:sub(dot + 1))
  local ours = claims.iss == settings.issuer and claims.aud == settings.audience
  if not (ran and holds and ours and ngx.time() < (tonumber(claims.exp) or 0)) then
    return nil
  end
  local groups = {}
  for _, group in ipairs(claims.groups or {}) do
    groups[group] = true
  end
  return groups
end

-- Those parts of a list that have a permitted name, where the names stand in another of the same order.
local function permitted(list, names)
  local found = {}
  for at, name in ipairs(names) do
    if not settings.denied[name] then
      found[#found + 1] = list[at]
    end
  end
  return found
end

-- access_by_lua
function hooks.request()
  local groups = groups_of(ngx.var.http_authorization)
  if not groups then
    return ngx.exit(401)
  elseif not (groups.owners or groups.readers) then
    return ngx.exit(403)
  end
  ngx.req.read_body()
  local query = json.decode(ngx.req.get_body_data() or "")
  if type(query) ~= "table" or type(query.features) ~= "table" then
    return ngx.exit(400)
  end
  if not groups.owners then
    -- The answer waits here until it is whole.
    ngx.ctx.chunks = {}
    query.features = permitted(query.features, query.features)
  end
  ngx.req.set_body_data(json.encode(query))
end

-- header_filter_by_lua
function hooks.head()
  if ngx.ctx.chunks then
    ngx.header["Content-Length"] = nil
  end
end

-- body_filter_by_lua
function hooks.answer()
  local chunks = ngx.ctx.chunks
  if not chunks then
    return
  end
  chunks[#chunks + 1], ngx.arg[1] = ngx.arg[1], nil
  if ngx.arg[2] then
    local answer = json.decode(table.concat(chunks))
    -- What cannot be read is not given out.
    if answer then
      local names = answer.metadata.feature_names
      answer.results, answer.metadata.feature_names = permitted(answer.results, names), permitted(names, names)
      ngx.arg[1] = json.encode(answer)
    end
  end
end

return hooks
