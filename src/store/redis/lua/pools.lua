-- The pools: name, free, taken.
local p = KEYS[1]
local pools, taken = {}, redis.call('HGETALL', p .. ':t')
for at = 1, #taken, 2 do
  pools[#pools + 1] = {taken[at], redis.call('LLEN', p .. ':l:' .. taken[at]), tonumber(taken[at + 1])}
end
return pools
